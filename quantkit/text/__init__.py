"""The text side of a recogniser: labels, decoders, edit distances."""
