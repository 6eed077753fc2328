"""One artifact for each user and budget, from one model: idempotent, resumable, side by side."""
