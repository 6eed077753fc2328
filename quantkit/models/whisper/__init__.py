"""Whisper checkpoints of both common formats, and the network as it is exported."""
