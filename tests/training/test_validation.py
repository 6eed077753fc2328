from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import CorpusError
from quantkit.text.labels import Labels
from quantkit.training.clips import ClipPreparer
from quantkit.training.recipe import AugmentSettings
from quantkit.training.validation import CER, WER, ErrorRate, ValidationScore, validate
from quantkit.training.waveforms import WaveformStore

_LABELS = Labels.english()


def _score(
    folder: Path, corpora: dict[str, Corpus], measure: ErrorRate = CER, said: str = ""
) -> ValidationScore:
    waveforms = WaveformStore([], folder, 16_000)
    preparer = ClipPreparer(
        Frontend(),
        _LABELS,
        waveforms,
        AugmentSettings(),
        lambda frames, target: frames // 2 + 1 >= len(target),
    )
    clips = {name: [(utterance,) for utterance in corpus] for name, corpus in corpora.items()}
    return validate(lambda batch: [said] * len(batch.lengths), clips, _LABELS, preparer, measure)


def _clip(name: str, text: str, frames: int) -> Utterance:
    features = np.zeros((frames, 40), np.float32)
    return Utterance(None, text, features=features, name=name, seconds=frames / 100)


def test_a_clip_too_short_for_its_transcript_counts_as_missed(tmp_path: Path) -> None:
    fits = _clip("fits", "", 40)
    short = _clip("short", "far too long for four frames", 4)
    score = _score(
        tmp_path, {"all dropped": Corpus("a", (short,)), "one": Corpus("b", (fits, short))}
    )
    assert score.by_source == {"all dropped": 1.0, "one": 1.0}


def test_heard_clips_count_once(tmp_path: Path) -> None:
    corpus = Corpus("a", tuple(_clip(str(i), "abc", 40 + i) for i in range(20)))
    assert _score(tmp_path, {"a": corpus}).mean == 1.0


def test_nothing_to_recognise_is_no_perfect_score(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="silence: the validation clips contain no character"):
        _score(tmp_path, {"silence": Corpus("silence", (_clip("a", "", 40),))})


def test_words_are_counted_where_the_measure_is_of_words(tmp_path: Path) -> None:
    corpora = {"a": Corpus("a", (_clip("a", "one two three", 40), _clip("b", "two", 40)))}
    score = _score(tmp_path, corpora, WER, said="one two")
    # One is missed in the one clip, and one too many written in the other.
    assert score.by_source == {"a": 2 / 4}
    assert score.summary == "WER 50.0% (a 50.0%)"
    assert score.figures == {"wer": 0.5, "wer_a": 0.5}
    with pytest.raises(CorpusError, match="silence: the validation clips contain no word"):
        _score(tmp_path, {"silence": Corpus("silence", (_clip("a", "", 40),))}, WER)
