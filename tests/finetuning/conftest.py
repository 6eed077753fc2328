from tests.small_model import clips, model, run, source

__all__ = ["clips", "model", "run", "source"]
