"""Training of transducers: RNN-T (Graves 2012) and TDT (Xu et al. 2023) that spell.

The models are the Parakeets of ``transformers``, so that a trained one can be loaded, exported and
quantized by any tool that supports the library. Needs the ``export`` extra.
"""
