"""Clips as they would sound elsewhere: noise, rooms, other levels and lines."""
