"""Prepare a training run of any task from the name of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quantkit.errors import InputError, MissingDependencyError
from quantkit.tasks.names import CLASSIFICATION, CTC
from quantkit.text.labels import Labels
from quantkit.training.keywords.recipe import KeywordRecipe, load_keyword_recipe
from quantkit.training.loop import TrainingLoop
from quantkit.training.recipe import (
    RNNT,
    TDT,
    WAV2VEC2,
    Recipe,
    load_recipe,
    preset,
    preset_names,
    task_of,
)
from quantkit.training.transducers.settings import RnntSettings
from quantkit.training.wav2vec2.settings import Wav2Vec2Settings

_READERS: Mapping[str, Callable[[Path], Recipe | KeywordRecipe]] = {
    CTC: load_recipe,
    CLASSIFICATION: load_keyword_recipe,
    RNNT: load_recipe,
    TDT: load_recipe,
    WAV2VEC2: load_recipe,
}


def find_recipe(name: str) -> Recipe | KeywordRecipe:
    """The recipe in the file ``name``, or the preset of that name.

    Raises:
        InputError: neither exists, or the file is not a recipe.
    """
    if name in preset_names():
        return preset(name)
    path = Path(name)
    if not path.exists():
        raise InputError(
            f"no recipe {name!r}: neither a file nor one of {', '.join(preset_names())}"
        )
    return _READERS[task_of(path)](path)


def prepare_run(
    recipe: Recipe | KeywordRecipe,
    folder: Path,
    *,
    start_from: Path | None = None,
    root: Path | None = None,
    folders: Mapping[str, Path] | None = None,
    device: torch.device | None = None,
    on_decoding: Callable[[int, int], None] = lambda done, total: None,
    on_skipped: Callable[[str, Sequence[str]], None] = lambda source, reasons: None,
) -> TrainingLoop[Any, Any, Any]:
    """Decode the recipe's audio and build its trainer.

    Args:
        start_from: a checkpoint whose weights to begin with.
        folder, root, folders, device, on_decoding, on_skipped: as for
            :func:`~quantkit.training.setup.prepare_trainer`.

    Raises:
        CheckpointError: ``start_from`` is not a checkpoint, or does not fit the recipe.
        CorpusError: a source is missing, unlabelled or empty.
        InputError: incompatible settings.
        MissingDependencyError: a library that the recipe's task needs is not installed.
    """
    # Each task has its own libraries, which take seconds to import.
    if isinstance(recipe, KeywordRecipe):
        try:
            from quantkit.training.keywords.checkpoint import load_spotter
            from quantkit.training.keywords.setup import prepare_keyword_trainer
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"a keyword spotter needs {error.name}: pip install 'quantkit[export]'"
            ) from error

        spotter = load_spotter(start_from) if start_from else None
        keywords = prepare_keyword_trainer(
            recipe,
            folder,
            root=root,
            folders=folders,
            device=device,
            on_decoding=on_decoding,
            on_skipped=on_skipped,
        )
        if spotter is not None:
            keywords.warm_start(spotter)
        return keywords
    start = _start(start_from, recipe) if start_from else None
    from quantkit.training.setup import prepare_trainer

    trainer = prepare_trainer(
        recipe,
        folder,
        root=root,
        folders=folders,
        device=device,
        on_decoding=on_decoding,
        on_skipped=on_skipped,
    )
    if start is not None:
        trainer.warm_start(*start)
    return trainer


def _start(checkpoint: Path, recipe: Recipe) -> tuple[nn.Module, Labels | None]:
    """The model that a run starts from, and its labels where they may hold transitions."""
    if isinstance(recipe.model, RnntSettings):
        from quantkit.training.transducers.checkpoint import load_trained_transducer

        model: nn.Module = load_trained_transducer(checkpoint).model
        return model.requires_grad_(True), None
    if isinstance(recipe.model, Wav2Vec2Settings):
        from quantkit.training.wav2vec2.checkpoint import load_wav2vec2

        saved = load_wav2vec2(checkpoint)
        return saved.model, saved.labels
    from quantkit.models.checkpoint import load_wav2letter

    found = load_wav2letter(checkpoint)
    return found.model, found.labels
