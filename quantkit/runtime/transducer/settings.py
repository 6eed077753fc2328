"""What a transducer's artifact says of its decoding (metadata entry ``quantkit.transducer``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from quantkit.errors import FormatError
from quantkit.json_dataclass import build
from quantkit.json_fields import parse_json
from quantkit.runtime.settings_entry import settings_entry

#: Name of the entry, in ``ArtifactInfo.extra``.
TRANSDUCER = "transducer"


@dataclass(frozen=True)
class TransducerSettings:
    """How labels follow from what the joiner gives.

    Args:
        start: what the predictor reads before the first label; it always reads so many of the last
            labels at once. NeMo has the blank alone, and carries states; icefall's stateless
            predictors (Ghodsi et al., "RNN-Transducer with stateless prediction network", 2020)
            have two.
        durations: how many durations, of 0, 1, 2, … frames, the joiner chooses from behind the
            labels (TDT: Xu et al., "Efficient sequence transduction by jointly predicting tokens
            and durations", 2023); 0: it chooses none, and only the blank ends a frame.
        most_per_frame: labels that one frame may add to the text.
        subsampling: frames of features for each of the encoder's; 0 where that is unknown.
    """

    start: tuple[int, ...]
    durations: int = 0
    most_per_frame: int = 10
    subsampling: int = 0

    @property
    def context(self) -> int:
        """Labels that the predictor reads at once."""
        return len(self.start)

    def to_json(self) -> str:
        """The metadata entry."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TransducerSettings:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: it is damaged.
        """
        where = "the transducer's settings"
        found = build(cls, parse_json(text, where), where)
        if not found.start or found.most_per_frame < 1 or min(found.durations, 0) < 0:
            raise FormatError(f"{where}: it reads no label, or a frame may add none")
        return found


def transducer_settings(extra: Mapping[str, str]) -> TransducerSettings:
    """Those in :attr:`~quantkit.graph.info.ArtifactInfo.extra`.

    Raises:
        ModelError: there are none, or they are damaged.
    """
    return settings_entry(
        extra, TRANSDUCER, TransducerSettings.from_json, "how it is decoded", "quantkit export"
    )
