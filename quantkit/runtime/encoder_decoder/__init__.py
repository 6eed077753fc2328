"""An encoder that hears a clip once, and a decoder that writes it down token by token."""
