"""A corpus: planned by a seed, split by text, written whole or not at all."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.errors import InputError, MissingDependencyError, OutputError
from quantkit.synthesis import VOICES
from quantkit.synthesis.__main__ import run
from quantkit.synthesis.corpus import (
    MANIFEST_COLUMNS,
    SAMPLE_RATE,
    plan_clips,
    render,
    split_of,
    synthesize,
)
from quantkit.synthesis.vocabulary import COMMANDS

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed"
)
TONE = np.sin(np.arange(22050, dtype=np.float32) / 20).astype(np.float32)


@pytest.fixture
def espeak_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only the quickest voices, so that tests stay quick."""
    quick = tuple(voice for voice in VOICES if voice.engine == "espeak")
    monkeypatch.setattr("quantkit.synthesis.corpus.VOICES", quick)


def test_the_same_seed_plans_the_same_clips() -> None:
    assert plan_clips(50, "short", seed=1) == plan_clips(50, "short", seed=1)
    assert plan_clips(50, "short", seed=1) != plan_clips(50, "short", seed=2)


def test_no_test_sentence_is_ever_trained_on() -> None:
    splits: dict[str, set[str]] = {}
    for seed in (1, 2):
        for clip in plan_clips(3000, "short", seed):
            if not all(word in COMMANDS for word in clip.request.text.split()):
                splits.setdefault(clip.request.text, set()).add(clip.split)
    assert all(len(found) == 1 for found in splits.values())


def test_about_two_in_a_hundred_clips_are_tests_and_as_many_valid() -> None:
    drawn = [clip.split for clip in plan_clips(5000, "sentences", seed=3)]
    assert 50 < drawn.count("test") < 160
    assert 50 < drawn.count("valid") < 160
    assert drawn.count("train") > 4600


def test_command_words_are_in_every_split() -> None:
    assert {split_of("yes", place) for place in range(1000)} == {"train", "valid", "test"}


def test_test_only_voices_are_heard_in_the_test_split_alone() -> None:
    clips = plan_clips(6000, "short", seed=4)
    assert {clip.split for clip in clips if clip.voice.test_only} == {"test"}


def test_speed_and_size_of_the_speaker_vary() -> None:
    clips = plan_clips(500, "short", seed=5)
    for drawn in ([c.warp for c in clips], [c.request.pitch for c in clips]):
        assert min(drawn) < 0.9
        assert max(drawn) > 1.1
    assert all(0.65 <= clip.request.stretch <= 1.7 for clip in clips)


def test_rendering_gives_sixteen_kilohertz_within_full_scale() -> None:
    for seed in range(20):
        audio = render(TONE, 22050, warp=1.0, seed=seed)
        assert audio.dtype == np.float32
        assert SAMPLE_RATE <= len(audio) < 1.6 * SAMPLE_RATE
        assert 0.05 < np.abs(audio).max() <= 1.0
        assert np.array_equal(audio, render(TONE, 22050, warp=1.0, seed=seed))


def test_warp_shortens_and_raises_the_voice() -> None:
    assert len(render(TONE, 22050, 1.15, seed=0)) < len(render(TONE, 22050, 0.87, seed=0))


@needs_espeak
@pytest.mark.usefixtures("espeak_only")
def test_a_corpus_is_audio_and_a_manifest_that_agree(tmp_path: Path) -> None:
    manifest = synthesize(tmp_path / "corpus", clips=12, kind="words", seed=1)
    with manifest.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert len(rows) == 12
    assert tuple(rows[0]) == MANIFEST_COLUMNS
    for row in rows:
        audio, rate = soundfile.read(str(manifest.parent / row["path"]))
        assert rate == SAMPLE_RATE
        assert len(audio) / rate == pytest.approx(float(row["seconds"]), abs=1e-3)
        assert row["speaker"].startswith("espeak-")
        assert row["gender"] in ("m", "f")


@needs_espeak
@pytest.mark.usefixtures("espeak_only")
def test_the_command_line_makes_a_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(tmp_path), "--clips", "3", "--seed", "2", "--kind", "phrases"]) == 0
    assert "3 clips" in capsys.readouterr().out
    assert (tmp_path / "manifest.tsv").is_file()


@needs_espeak
@pytest.mark.usefixtures("espeak_only")
def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        synthesize(tmp_path / "file", clips=1, kind="words")


def test_a_corpus_of_no_clips_is_an_input_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="at least one clip"):
        plan_clips(0, "words", seed=0)
    assert run([str(tmp_path), "--clips", "0"]) == 2
    assert "error: a corpus needs" in capsys.readouterr().err


def test_a_machine_without_voices_is_told_what_to_install() -> None:
    with pytest.raises(MissingDependencyError, match="apt-get install"):
        plan_clips(1, "words", seed=0, voices=[])
