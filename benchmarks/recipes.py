"""What the shipped models were trained on."""

from __future__ import annotations

from pathlib import Path

from quantkit.training.recipe import Source, load_recipe


def sources_of(model: Path) -> dict[str, Source]:
    """The corpora of a shipped model's recipe, by name."""
    return {source.name: source for source in load_recipe(model / "recipe.toml").sources}
