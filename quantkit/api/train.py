"""Train a Wav2Letter with CTC or ASG, a transducer, or a keyword spotter."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantkit.api.begin import Begin, nothing
from quantkit.api.inputs import PathLike, optional_path, path_of
from quantkit.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    import torch

    from quantkit.training.run import Progress


@dataclass(frozen=True)
class TrainResult:
    """What :func:`train` wrote.

    Args:
        path: folder of the best checkpoint, which :func:`quantkit.export` takes.
        measure: name of the validation error.
        best: its lowest value, as a share.
        steps: that were done.
    """

    path: Path
    measure: str
    best: float
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return dataclasses.asdict(self) | {"path": str(self.path)}

    def rows(self) -> list[dict[str, Any]]:
        """One row, for ``pandas.DataFrame``."""
        return [self.to_dict()]


@dataclass(frozen=True)
class TrainListener:
    """Who is told how a training goes; every one may be left out.

    Args:
        on_decoding: clips that are decoded, of how many.
        on_skipped: a source, and why clips of it are not used.
        on_resumed: steps done before, name and lowest value of the validation error.
        on_step: see :class:`~quantkit.training.run.Progress`.
    """

    on_decoding: Callable[[int, int], None] = lambda _done, _total: None
    on_skipped: Callable[[str, Sequence[str]], None] = lambda _source, _reasons: None
    on_resumed: Callable[[int, str, float], None] = lambda _step, _measure, _best: None
    on_step: Callable[[Progress], None] = lambda _progress: None


def train(
    recipe: PathLike,
    data: PathLike | Mapping[str, PathLike],
    output: PathLike,
    *,
    resume: bool = False,
    start_from: PathLike | None = None,
    steps: int | None = None,
    threads: int = 0,
    device: str | None = None,
    begin: Begin = nothing,
    listener: TrainListener | None = None,
) -> TrainResult:
    """Train a model from a recipe.

    >>> import quantkit
    >>> made = quantkit.train("small", {"corpus": "my_corpus"}, "runs/first")  # doctest: +SKIP
    >>> quantkit.export(made.path, "mine.onnx").opset  # doctest: +SKIP
    18

    Args:
        recipe: a TOML file, or a preset: ``published-hw4p2``, ``published-hw3p2``, ``small``.
        data: the folder that holds the recipe's sources; or the folder of each source by its name,
            with that of all others under ``""``.
        output: folder of the run: ``best/``, ``last.pt``, ``history.json`` and the decoded audio.
        resume: go on from the run's ``last.pt``.
        start_from: checkpoint whose weights to begin with.
        steps: instead of the recipe's.
        threads: of the processor; 0: as many as PyTorch takes.
        device: such as ``cpu`` or ``cuda``; None: the GPU if there is one.
        begin: see :data:`~quantkit.api.begin.Begin`.
        listener: is told how it goes.

    Raises:
        InputError: there is no such recipe or device, or ``output`` holds an earlier run.
        CorpusError: a source has no usable clip.
        CheckpointError: ``start_from`` or ``last.pt`` does not fit.
        MissingDependencyError: PyTorch is not installed.
        OutputError: ``output`` cannot be written.
    """
    folder = path_of(output, "the output")
    listener = listener or TrainListener()
    try:
        import torch

        from quantkit.training.launch import find_recipe, prepare_run
        from quantkit.training.run import BEST_NAME, holds_earlier_run
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"training needs {error.name}: pip install 'quantkit[export]'"
        ) from error
    if not resume and holds_earlier_run(folder):
        raise InputError(
            f"{folder} holds an earlier run: add --resume to go on, or choose another folder"
        )
    settings = find_recipe(os.fspath(recipe))
    if steps:
        settings = dataclasses.replace(settings, steps=steps)
    if threads:
        torch.set_num_threads(threads)
    target = _device(device)
    sources = {"": data} if isinstance(data, str | os.PathLike) else dict(data)
    folders = {name: path_of(each, "the data") for name, each in sources.items()}
    named = [f"{name}={each}" if name else str(each) for name, each in sources.items()]
    begin(f"train for {settings.steps:,} steps on {', '.join(named)}")
    trainer = prepare_run(
        settings,
        folder,
        start_from=optional_path(start_from, "the checkpoint"),
        root=folders.pop("", None),
        folders=folders,
        device=target,
        on_decoding=listener.on_decoding,
        on_skipped=listener.on_skipped,
    )
    if resume and trainer.resume():
        listener.on_resumed(trainer.step, trainer.measure, trainer.best)
    best = trainer.run(listener.on_step)
    return TrainResult(folder / BEST_NAME, trainer.measure, best, trainer.step)


def _device(name: str | None) -> torch.device | None:
    """The device of that name, which there is.

    Raises:
        InputError: there is none.
    """
    import torch

    try:
        target = torch.device(name) if name else None
        # The name alone says nothing: the device may be absent, or this build without it. Reading
        # the value back finds devices that hold no values, such as "meta".
        torch.zeros(1, device=target).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"cannot train on device {name!r}: {reason}") from error
    return target
