"""Which clips of a corpus a verb takes: the same for Python and for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from quantkit.api.defaults import ANALYSIS_CLIPS, CALIBRATION_CLIPS
from quantkit.api.listening import calibration_clips
from quantkit.audio.selection import Selection
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.cli import group
from quantkit.errors import CorpusError, InputError


def corpus(**splits: int) -> Corpus:
    names = [split for split, count in splits.items() for _ in range(count)]
    clips = (Utterance(Path(f"{i}.wav"), split=name) for i, name in enumerate(names))
    return Corpus("corpus", tuple(clips))


def taken(which: Corpus, selection: Selection | None = None, clips: int = 32) -> list[str]:
    found = calibration_clips(which, None, selection, clips=clips, outputs=[])
    return [clip.split for clip in found]


def test_clips_are_32_of_the_split_calibration_where_nothing_is_said() -> None:
    assert taken(corpus(calibration=40, test=40)) == ["calibration"] * 32


def test_of_several_names_each_will_do() -> None:
    found = taken(corpus(train=1, dev=2, test=3), Selection(split=("dev", "test")))
    assert found == ["dev"] * 2 + ["test"] * 3


def test_a_corpus_without_that_split_is_taken_as_a_whole() -> None:
    assert taken(corpus(train=3, test=2)) == ["train"] * 3 + ["test"] * 2


def test_split_and_number_may_be_said() -> None:
    assert taken(corpus(calibration=40, test=4), Selection(split="test")) == ["test"] * 4
    assert len(taken(corpus(calibration=4, test=4), Selection(split="all"))) == 8
    assert len(taken(corpus(calibration=40), Selection(clips=5))) == 5
    with pytest.raises(CorpusError, match="split is one of: calibration"):
        taken(corpus(calibration=3), Selection(split="dev"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gender": "x"}, "gender is f or m, not 'x'"),
        ({"max_seconds": 0.0}, "max_seconds must be above 0"),
        ({"clips": 0}, "cannot take 0 clips"),
    ],
)
def test_what_no_corpus_has_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Selection(**values)


@pytest.mark.parametrize(
    ("name", "clips"),
    [
        ("analyze", ANALYSIS_CLIPS),
        ("plan", ANALYSIS_CLIPS),
        ("personalize", ANALYSIS_CLIPS),
        ("quantize", CALIBRATION_CLIPS),
    ],
)
def test_commands_take_as_many_clips_as_their_functions(name: str, clips: int) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    (option,) = (each for each in command.params if each.name == "clips")
    assert option.default == clips
