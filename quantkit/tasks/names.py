"""What artifacts, checkpoints and recipes call the tasks."""

from __future__ import annotations

#: Text from log-probabilities of labels for each frame.
CTC = "ctc"
#: Text from scores of labels for each frame and of transitions between them.
ASG = "asg"
#: One of some classes for each clip.
CLASSIFICATION = "classification"
#: Text from tokens that a decoder writes one after the other.
WHISPER = "whisper"
#: Text from labels that an encoder's frames add to what a predictor has read.
TRANSDUCER = "transducer"
#: The same two, heard chunk by chunk.
STREAMING_CTC, STREAMING_TRANSDUCER = "streaming-ctc", "streaming-transducer"
#: Text from tokens that a decoder writes about a waveform of any length.
MOONSHINE = "moonshine"
#: Text, or its translation, from tokens that a decoder writes as a prompt asks.
CANARY = "canary"
