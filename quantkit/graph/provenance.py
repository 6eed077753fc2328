"""What an artifact was made from, beside the model and the plan that its metadata name anyhow.

The metadata entry ``quantkit.provenance``, JSON:

.. code-block:: json

    {"audio_sha256": "…", "clips": 80, "seconds": 241.5,
     "versions": {"numpy": "2.4.6", "onnx": "1.23.2", "onnxruntime": "1.32.0", "scipy": "1.17.1"}}

It says nothing of the time, the host or the Python: the same inputs give the same bytes.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from quantkit.errors import FormatError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.json_fields import Fields, Range, parse_json

#: Of the entry in :attr:`~quantkit.graph.info.ArtifactInfo.extra`.
PROVENANCE = "provenance"

# Those that numbers in an artifact depend on.
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "scipy")
_LARGEST = 999_999_999


@dataclass(frozen=True)
class Provenance:
    """Of one artifact.

    Args:
        audio_sha256: of what the model was given of the clips; see
            :meth:`quantkit.calibration.data.CalibrationData.digest`. Empty without audio.
        clips: how many.
        seconds: of audio in them; 0 for inputs of a model without a front end.
        versions: of the libraries that computed it.
    """

    audio_sha256: str = ""
    clips: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Text whose length depends on the versions alone, so that sizes can be foretold."""
        content = asdict(self) | {"seconds": round(self.seconds, 1)}
        longest = {"audio_sha256": 64 * "0", "clips": _LARGEST, "seconds": _LARGEST + 0.5}
        return json.dumps(content).ljust(len(json.dumps(content | longest)))

    @property
    def audio_in_words(self) -> str:
        """How much, and its digest."""
        clips = "1 clip" if self.clips == 1 else f"{self.clips:,} clips"
        length = f", {self.seconds:,.0f} s" if self.seconds else ""
        return f"{clips} of audio{length}, SHA-256 {self.audio_sha256}"

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"versions": dict(self.versions)}


def provenance_now(audio_sha256: str = "", clips: int = 0, seconds: float = 0.0) -> Provenance:
    """That of what is made in this process."""
    return Provenance(audio_sha256, clips, seconds, {name: _version(name) for name in _LIBRARIES})


def provenance_of(info: ArtifactInfo, origin: str = "the model") -> Provenance | None:
    """That of an artifact; None of one that has none.

    Args:
        origin: names it in the message.

    Raises:
        ModelError: the entry is damaged.
    """
    if PROVENANCE not in info.extra:
        return None
    where = "the provenance"
    try:
        found = Fields(parse_json(info.extra[PROVENANCE], where), where)
        versions = found.child("versions")
        return Provenance(
            found.text("audio_sha256"),
            found.whole("clips", limits=Range(0, _LARGEST)),
            found.number("seconds", limits=Range(0)),
            {name: versions.text(name) for name in versions.names()},
        )
    except FormatError as error:
        raise ModelError(
            f"{origin}: its quantkit metadata is damaged: {error}; make the model again"
        ) from error


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        # Some builds of ONNX Runtime have another name, such as onnxruntime-gpu.
        return str(getattr(importlib.import_module(name), "__version__", ""))
