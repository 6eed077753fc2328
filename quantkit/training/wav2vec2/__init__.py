"""Training of small wav2vec 2.0 models that spell, from the hidden states of a teacher and CTC.

Needs ``transformers``.
"""
