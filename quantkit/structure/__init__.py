"""A layer as two layers with fewer channels between them."""
