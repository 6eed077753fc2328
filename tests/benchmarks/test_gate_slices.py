"""The study of gates on slices damages the clips that it names, and counts what fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate_slices import RATE, TOLERANCES, USUAL, Gate, _alarms, _joined, _part, damages
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.slices.properties import properties_of
from quantkit.text.labels import Labels
from quantkit.text.scoring import LabelScoring


def clip(name: str, seconds: float = 1.0, language: str = "en", **fields: str) -> Utterance:
    sound = np.linspace(-0.1, 0.1, round(seconds * RATE), dtype=np.float32)
    text = f"one two {name}"
    return Utterance(
        None,
        text,
        language=language,
        gender="f",
        seconds=seconds,
        name=name,
        waveform=sound,
        sample_rate=RATE,
        **fields,
    )


class Speller:
    """What the study asks of a model."""

    scoring = LabelScoring(Labels(("_", " ", *"abcdefghijklmnopqrstuvwxyz")))


@pytest.fixture
def corpus() -> Corpus:
    names = [a + b for a in "abcdefgh" for b in "klmnop"]
    languages = ("en", "de")
    return Corpus("c", tuple(clip(n, language=languages[i % 2]) for i, n in enumerate(names)))


@pytest.fixture
def gate(corpus: Corpus) -> Gate:
    properties = [vars(properties_of(each, each.text, sound=True)) for each in corpus]
    return Gate(corpus, Speller(), properties)  # type: ignore[arg-type]


def test_long_clips_are_joined_of_one_speaker() -> None:
    clips = [clip(f"{i}", 12.0, speaker="ann" if i < 3 else "bob") for i in range(6)]
    joined = [*_joined(clips)]
    assert [each.speaker for each in joined] == ["ann", "bob"]
    assert joined[0].text == "one two 0 one two 1"
    assert joined[0].waveform is not None
    assert joined[0].waveform.size == 24 * RATE


def test_a_clip_that_begins_late_lacks_its_beginning_alone() -> None:
    whole = clip("a")
    assert whole.waveform is not None
    late = _part(whole, 0.25, np.inf).waveform
    assert late is not None
    assert np.array_equal(late, whole.waveform[RATE // 4 :])


def test_each_damage_hits_some_clips_and_names_its_slice() -> None:
    found = damages(Path("int8"), Path("weak"), Path("deaf"))
    assert len({each.expected for each in found}) == len(found)
    german, long = clip("a", language="de"), clip("b", 30.0)
    hit = {each.expected: (each.hit(german), each.hit(long)) for each in found}
    assert hit["language: de"] == (True, False)
    assert hit["length: from 20 s"] == (False, True)


def test_damage_is_found_with_and_without_transcripts(gate: Gate, corpus: Corpus) -> None:
    before = {each.identifier: each.text or "" for each in corpus}
    german = {each.identifier: "zzz" for each in corpus if each.language == "de"}
    after = before | german
    for result in (
        gate.against_before(before, after, TOLERANCES[USUAL]),
        gate.label_free(before, after),
    ):
        failed = {check.slice for check in result.failures}
        assert "language: de" in failed
        assert "language: en" not in failed


def test_runs_that_do_not_differ_raise_no_alarm(gate: Gate, corpus: Corpus) -> None:
    same = {each.identifier: each.text or "" for each in corpus}
    worse = dict.fromkeys(same, "")
    assert _alarms(gate, [same, same, same], "none")[2:] == ["0 of 2", "0 of 2"]
    assert _alarms(gate, [same, worse], "none")[2:] == ["1 of 1", "0 of 1"]
