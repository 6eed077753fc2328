"""What the loaders of Moonshine, Canary and the transducers of ``transformers`` have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from transformers import PreTrainedModel

from quantkit.models.config_limits import require_sensible
from quantkit.models.lora import merge_adapter
from quantkit.models.pretrained import load_weights
from quantkit.models.pretrained_files import (
    CONFIG_NAME,
    digest_of,
    licence_of,
    read_json_object,
    weights_files,
)
from quantkit.text.labels import Labels

F = TypeVar("F")
S = TypeVar("S")


class FamilyCheckpoint(NamedTuple, Generic[F, S]):
    """A model in evaluation mode and float32, with all that its artifact says of it.

    Args:
        model: of ``transformers``.
        labels: its tokens. The end of a text stands in the place of the blank; that of a
            transducer is its own blank, not the padding token.
        frontend: its features.
        settings: how its texts are searched.
        sha256: of the weights; see :func:`~quantkit.models.pretrained_files.digest_of`.
        licence: from the model's card.
    """

    model: Any
    labels: Labels
    frontend: F
    settings: S
    sha256: str
    licence: str


class FamilyFolder:
    """A folder that ``save_pretrained`` wrote, its configuration and the weights it holds.

    Raises:
        CheckpointError: files are missing, or the configuration has senseless sizes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.origin = folder / CONFIG_NAME
        self.config = read_json_object(self.origin)
        require_sensible(self.config, self.origin)
        self.files = weights_files(folder)

    @property
    def model_type(self) -> str:
        """As the configuration says."""
        return str(self.config.get("model_type"))

    def load(self, kind: type[PreTrainedModel]) -> Any:
        """The model, in evaluation mode and float32.

        Raises:
            CheckpointError: see :func:`~quantkit.models.pretrained.load_weights`.
        """
        return load_weights(self.folder, kind, self.files)

    def checkpoint(
        self, model: Any, labels: Labels, frontend: F, settings: S, adapter: Path | None
    ) -> FamilyCheckpoint[F, S]:
        """What was loaded, with the LoRA adapter in the folder ``adapter`` merged.

        Raises:
            CheckpointError: the adapter does not fit the model.
        """
        digest = digest_of(self.files)
        if adapter is not None:
            digest = merge_adapter(model, adapter, digest)
        return FamilyCheckpoint(model, labels, frontend, settings, digest, licence_of(self.folder))
