"""Whisper checkpoints of both common formats, and the network for export."""
