"""Canary of ``transformers``: its checkpoints, and the modules that are exported."""
