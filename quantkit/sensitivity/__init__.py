"""How much each layer's precision matters, found from unlabelled audio."""
