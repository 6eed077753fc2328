"""An encoder and a decoder that writes greedily → an artifact of two files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import onnx

from quantkit.audio.frontends import AnyFrontend
from quantkit.disk.files import refuse_overwriting
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.saving import float_plan, folder_beside, save_artifact
from quantkit.exporting.text_parity import TextReference, check_texts
from quantkit.exporting.tracing import OPSET, require_known_opset
from quantkit.graph.artifact import EXTERNAL_DATA_THRESHOLD
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.roles import DECODER, beside
from quantkit.models.pretrained_files import files_of, name_of
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.text.labels import Labels
from quantkit.version import __version__


class Settings(Protocol):
    """How a family's texts begin and end."""

    def to_json(self) -> str:
        """The metadata entry."""
        ...


class Checkpoint(Protocol):
    """A model in evaluation mode and float32, with all that its artifact says of it."""

    @property
    def model(self) -> Any:
        """Of ``transformers``."""
        ...

    @property
    def labels(self) -> Labels:
        """Its tokens; the end of a text stands in the place of the blank."""
        ...

    @property
    def frontend(self) -> AnyFrontend:
        """What the encoder hears."""
        ...

    @property
    def settings(self) -> Settings:
        """See :class:`Settings`."""
        ...

    @property
    def sha256(self) -> str:
        """Of the weights."""
        ...

    @property
    def licence(self) -> str:
        """From the model's card."""
        ...


@dataclass(frozen=True)
class GreedyFamily:
    """How models of one family are exported.

    Args:
        task: of the artifacts.
        entry: name of the settings in their metadata.
        load: the model in a folder, an adapter merged into it.
        build: its whole float32 graph, for an operator set, with weights in a folder.
        references: what the source gives for random clips and texts.
        hears_waveforms: whether the front end is a part of the graph.
    """

    task: str
    entry: str
    load: Callable[[Path, Path | None], Checkpoint]
    build: Callable[[Any, int, Path], onnx.ModelProto]
    references: Callable[[Checkpoint], Iterable[TextReference]]
    hears_waveforms: bool

    def export(
        self,
        folder: Path,
        destination: Path,
        *,
        opset: int = OPSET,
        name: str = "",
        adapter: Path | None = None,
        external_threshold: int = EXTERNAL_DATA_THRESHOLD,
    ) -> ParityReport:
        """Write the model in ``folder`` and prove that it gives the numbers of ``transformers``.

        The encoder is written to ``destination``, the decoder beside it; see
        :mod:`quantkit.graph.joined`. Both appear only after the parity check has passed.

        Args:
            opset: ONNX operator set, 18 to 23.
            name: what the metadata says; by default the folder's.
            adapter: folder of a LoRA adapter that is merged into the model.
            external_threshold: bytes of weights beyond which they go to a file of their own.

        Raises:
            CheckpointError: files are missing or damaged, or a part is not supported.
            ParityError: a graph differs from ``transformers``; nothing is written.
            InputError: an opset out of range, or a destination that is a file of the model.
            OutputError: ``destination`` cannot be written.
        """
        require_known_opset(opset)
        for target in (destination, beside(destination, DECODER)):
            refuse_overwriting(target, files_of(folder))
        source = self.load(folder, adapter)
        with folder_beside(destination) as scratch:
            references = tuple(self.references(source))
            whole = self.build(source.model, opset, scratch)
            info = ArtifactInfo(
                labels=source.labels,
                frontend=source.frontend,
                fused=self.hears_waveforms,
                task=self.task,
                plan=float_plan(whole, source.sha256),
                model_sha256=source.sha256,
                version=__version__,
                name=name or name_of(folder),
                licence=source.licence,
                extra={self.entry: source.settings.to_json()},
            )
            # Its weights are in files now; in memory, they would lie beside those of ONNX Runtime.
            del source
            malloc_trim()
            unit = "samples" if self.hears_waveforms else "frames"
            return save_artifact(
                whole,
                info,
                destination,
                partial(check_texts, references, unit=unit),
                external_threshold=external_threshold,
            )
