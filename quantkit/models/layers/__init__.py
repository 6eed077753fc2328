"""Parts of speech encoders for inference, in which the clips of a batch are independent.

They share the weights of a ``transformers`` model, and compute what it computes for each clip
alone. Their attribute names are those of ``transformers``, because plans contain them.
"""
