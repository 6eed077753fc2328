"""What a verb does where nobody says otherwise; the help texts of the commands read it here."""

from __future__ import annotations

#: Split that unlabelled clips are taken from, where a corpus has it.
CALIBRATION_SPLIT = "calibration"
#: Split that models are measured on, where a corpus has it.
MEASURED_SPLIT = "test"
#: Clips that an analysis runs, at most; a plan and a personal model need no more.
ANALYSIS_CLIPS = 32
#: Clips that activation ranges are found on, at most.
CALIBRATION_CLIPS = 128
#: Split that a model is trained on, where a corpus has it.
TRAINING_SPLIT = "train"
#: Clips that a quantized model is trained on, at most.
FINETUNE_CLIPS = 10_000
