"""Models that hear a clip chunk by chunk, and remember what they need of the chunks before."""
