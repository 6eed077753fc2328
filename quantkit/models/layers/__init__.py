"""Parts of speech encoders for inference: batches of clips that do not see each other.

They take the weights of a ``transformers`` model, share its memory, and compute what it computes
for each clip alone. Their attribute names are those of ``transformers``, because a plan shows them.
"""
