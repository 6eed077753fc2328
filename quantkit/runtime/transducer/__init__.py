"""Transducers: an encoder, and a predictor and joiner that write label by label."""
