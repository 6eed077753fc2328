"""A layer as two layers with fewer channels between them; see :mod:`quantkit.structure.low_rank`."""
