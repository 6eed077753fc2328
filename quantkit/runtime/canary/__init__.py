"""Canary: a FastConformer that hears a clip, and a decoder that is told which text to write."""
