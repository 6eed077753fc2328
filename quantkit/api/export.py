"""A PyTorch checkpoint, or somebody's ``.onnx``, becomes a float32 artifact."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantkit.api.inputs import PathLike, optional_path, path_of
from quantkit.api.outputs import require_suffix
from quantkit.audio.frontends import FRONTENDS
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.graph.artifact import open_model, total_size
from quantkit.graph.editor import GraphEditor
from quantkit.graph.info import info_of
from quantkit.tasks.catalogue import adoptable

__all__ = ["FRONTENDS", "TASKS", "ExportResult", "export"]

#: Tasks that somebody's ``.onnx`` can be exported for.
TASKS = adoptable()


@dataclass(frozen=True)
class ExportResult:
    """What :func:`export` wrote.

    Args:
        path: the artifact; further files may lie beside it.
        size_bytes: of all of its files.
        opset: ONNX operator set.
        with_frontend: whether it takes waveforms because the front end is part of the graph.
        parity: how close ONNX Runtime came to the source, batch by batch.
    """

    path: Path
    size_bytes: int
    opset: int
    with_frontend: bool
    parity: ParityReport

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit export --json``."""
        return {
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "opset": self.opset,
            "with_frontend": self.with_frontend,
            "parity": {
                "tolerance": self.parity.tolerance,
                "worst": asdict(self.parity.worst),
                "cases": len(self.parity.cases),
            },
            "notes": list(self.parity.notes),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row for each batch that was compared, for ``pandas.DataFrame``."""
        return [asdict(case) for case in self.parity.cases]


def export(
    model: PathLike,
    output: PathLike,
    *,
    with_frontend: bool = False,
    opset: int | None = None,
    name: str = "",
    labels: PathLike | None = None,
    task: str = "",
    sample_rate: int | None = None,
    blank: int | None = None,
    normalize: bool = False,
    frontend: str = "",
    output_name: str = "",
    language: str = "",
    window: float | None = None,
    chunk: float | None = None,
) -> ExportResult:
    """Write ``model`` as an artifact that computes what it computes.

    The file is written only after ONNX Runtime has given the model's own numbers on batches of
    several sizes and lengths.

    >>> import quantkit
    >>> made = quantkit.export("models/wav2letter-en", "float32.onnx")  # doctest: +SKIP
    >>> made.opset  # doctest: +SKIP
    18

    Args:
        model: a Wav2Letter checkpoint (a folder, or a ``.pt`` or ``.safetensors`` file beside its
            ``config.json``), a folder of transformers or its name on the Hugging Face hub, a LoRA
            adapter of PEFT, a Whisper in the format of CTranslate2 or of OpenAI (``.pt``), or an
            ``.onnx``.
        output: the ``.onnx`` to write.
        with_frontend: put the front end in front of a model that takes features, as nodes.
        opset: ONNX operator set, 18 to 23; None: 18, which ONNX Runtime 1.15 and later loads.
        name: the model's name in the metadata; empty: its own.
        labels: of an ``.onnx``: what its outputs stand for: a file or folder of labels, or of a
            tokenizer; see :mod:`quantkit.text.label_files`.
        task: of an ``.onnx``: one of :data:`TASKS`, which says whether it writes text or tells
            classes apart.
        sample_rate: of the audio that an ``.onnx`` takes, in hertz; None: 16,000.
        blank: index of the CTC blank of an ``.onnx``, where its labels do not show it.
        normalize: whether an ``.onnx`` wants clips of mean 0 and variance 1.
        frontend: what makes the features that an ``.onnx`` takes: one of :data:`FRONTENDS`.
        output_name: of an ``.onnx``: the output that holds the posteriors, where several could.
        language: of a model with an adapter for each of several: which one, such as ``deu``; empty:
            the one that its tokenizer is set to.
        window: of a Whisper: seconds of silence behind a short clip that the artifact computes,
            instead of 30 seconds in all; see :class:`~quantkit.text.decoding.Decoding`.
        chunk: of a Wav2Letter or a Nemotron streaming: seconds that it hears at a time, such as
            0.32, with states that go from one chunk to the next; None: a Wav2Letter hears whole
            clips, and a Nemotron what it looks ahead by default.

    Raises:
        InputError: the model is missing, damaged or of an unknown kind, or options do not fit it.
        ParityError: the artifact differs from its source; nothing is written.
        MissingDependencyError: PyTorch is needed and not installed.
        OutputError: ``output`` cannot be written.
    """
    path_of(model, "the model")
    destination = path_of(output, "the output")
    require_suffix(destination, ".onnx")
    options = ExportOptions(
        with_frontend=with_frontend,
        opset=opset,
        name=name,
        labels=optional_path(labels, "labels"),
        task=task,
        sample_rate=sample_rate,
        blank=blank,
        normalize=normalize,
        frontend=frontend,
        output_name=output_name,
        language=language,
        window=window,
        chunk=chunk,
    )
    parity = export_source(os.fspath(model), destination, options)
    made = open_model(destination, check=False)
    return ExportResult(
        path=destination,
        size_bytes=total_size(destination),
        opset=GraphEditor(made).opset,
        with_frontend=info_of(made).fused,
        parity=parity,
    )
