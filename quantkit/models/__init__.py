"""PyTorch models that quantkit trains or exports. Needs the ``export`` extra."""
