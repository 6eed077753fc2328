"""The corpus that we ship: small, balanced, honest about its splits."""

from __future__ import annotations

import csv
import runpy
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from quantkit.synthesis.sentences import sentences

FOLDER = Path(__file__).resolve().parents[2] / "calibration_data"
Row = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with (FOLDER / "manifest.tsv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_it_is_small_and_about_ten_minutes_long(rows: list[Row]) -> None:
    assert 8 <= sum(float(row["seconds"]) for row in rows) / 60 <= 12
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.ogg")) < 6_000_000


def test_every_clip_is_there_and_as_long_as_the_table_says(rows: list[Row]) -> None:
    assert {row["path"] for row in rows} == {
        path.relative_to(FOLDER).as_posix() for path in (FOLDER / "audio").iterdir()
    }
    for row in rows:
        clip = soundfile.info(str(FOLDER / row["path"]))
        assert (clip.samplerate, clip.channels) == (16_000, 1)
        assert clip.duration == pytest.approx(float(row["seconds"]), abs=1e-3)


def test_two_fifths_calibrate_and_no_text_is_in_both_splits(rows: list[Row]) -> None:
    texts = {
        split: {row["text"] for row in rows if row["split"] == split}
        for split in ("calibration", "test")
    }
    assert Counter(row["split"] for row in rows) == {"calibration": 80, "test": 120}
    assert not texts["calibration"] & texts["test"]


def test_both_splits_hear_all_voices_and_both_genders_equally(rows: list[Row]) -> None:
    for split in ("calibration", "test"):
        own = [row for row in rows if row["split"] == split]
        genders = Counter(row["gender"] for row in own)
        assert genders["f"] == genders["m"]
        assert len({row["speaker"] for row in own}) == 12


def test_the_script_still_plans_exactly_this_table(rows: list[Row]) -> None:
    planned = runpy.run_path(str(FOLDER / "make.py"))["plan"]()
    table = [(c.path, c.split, c.voice.name, c.voice.gender, c.request.text) for c in planned]
    assert table == [
        (row["path"], row["split"], row["speaker"], row["gender"], row["text"]) for row in rows
    ]


def test_its_sentences_are_not_what_the_generator_says(rows: list[Row]) -> None:
    generated = {*sentences("sentences", 2000, seed=1), *sentences("phrases", 2000, seed=1)}
    assert not generated & {row["text"] for row in rows}
