"""Files on disk: read so that nothing hangs, written so that a crash leaves nothing half."""
