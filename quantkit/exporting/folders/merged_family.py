"""What a family of models with an encoder and a merged decoder says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from quantkit.arrays import FloatArray
from quantkit.exporting.folders.found_graph import FoundGraph
from quantkit.graph.info import ArtifactInfo


class MergedFamily(ABC):
    """A family of the layout of onnx-community."""

    #: For people.
    name: ClassVar[str]
    #: What the encoder takes, which tells the families apart.
    hears: ClassVar[str]

    @abstractmethod
    def info(self, folder: Path, encoder: FoundGraph, outputs: int) -> ArtifactInfo:
        """Task, vocabulary and front end.

        Args:
            outputs: of the decoder.

        Raises:
            InputError, CheckpointError: files are missing, damaged, or of another model.
        """

    @abstractmethod
    def clips(self, encoder: FoundGraph) -> Iterator[tuple[str, FloatArray]]:
        """Noise that the artifact is compared on, each with what it is in words.

        Raises:
            ModelError: the encoder takes clips of a shape that this family does not have.
        """
