"""Moonshine: an encoder that hears a waveform of any length, and a decoder that writes it down."""
