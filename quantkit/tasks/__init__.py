"""What models are for. One file per task, each the answer to the questions of ``base.py``."""
