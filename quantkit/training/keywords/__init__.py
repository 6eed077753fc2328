"""Training of keyword spotters: one class per one-second clip, tested on unseen speakers.

The model is the Conformer of ``transformers`` on raw waveforms, so that a trained model can be
loaded, exported and quantized by any tool that supports the library. Needs the ``export`` extra.
"""
