"""Words of a transducer, by the frames of its encoder."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.transducer.model import Transducer
from quantkit.runtime.transducer.search import LABEL
from quantkit.runtime.transducer.settings import TransducerSettings
from quantkit.text.decoding import Decoding
from quantkit.text.labels import Labels


class Settings:
    """A network that is never run."""

    settings = TransducerSettings((0,), subsampling=8)


def transducer(*, words: bool = True) -> Transducer:
    labels = Labels(("_", " two", " o", "h"))
    info = ArtifactInfo(labels=labels, frontend=NemoFrontend.for_rate(16_000, 80))
    return Transducer(info, Settings(), Decoding(words=words))  # type: ignore[arg-type]


def test_a_word_lasts_from_its_first_label_to_its_last() -> None:
    # A frame of the encoder is eight of the front end, of 10 ms each.
    rows = np.array([(1, 5, np.log(0.5)), (2, 10, 0.0), (3, 12, 0.0)], LABEL)
    two, oh = transducer().words_of(rows, 5.0)
    assert (two.text, two.start, two.end, two.confidence) == ("two", 0.4, 0.48, 0.5)
    assert (oh.text, oh.start) == ("oh", 0.8)
    assert oh.end == pytest.approx(1.04)


def test_no_word_ends_behind_the_clip() -> None:
    (word,) = transducer().words_of(np.array([(1, 5, 0.0)], LABEL), 0.45)
    assert word.end == 0.45


def test_nobody_asked() -> None:
    assert transducer(words=False).words_of(np.array([(1, 5, 0.0)], LABEL), 1.0) == ()
