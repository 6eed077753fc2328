"""Training of keyword spotters: one class for every one-second clip, new speakers as test.

The model is the Conformer of ``transformers`` on raw waveforms, so that what is trained here can
be loaded, exported and quantized by anything that knows the library. Needs the ``export`` extra.
"""
