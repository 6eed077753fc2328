"""What the verbs take: paths, audio in any form, models in any form, budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.api.inputs import budget_bytes, corpus_of, float_model, path_of, window_seconds
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import AudioError, CorpusError, InputError
from quantkit.text.decoding import WHOLE
from tests.api.small import RATE, clips, write_clips, write_corpus


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_may_be_a_text(kind: Any) -> None:
    assert path_of(kind("a/b.onnx"), "the model") == Path("a/b.onnx")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (3, "the model must be a path, not int"),
        (b"x", "not bytes"),
        (None, "not NoneType"),
        ("", "is empty"),
    ],
)
def test_what_is_no_path_is_refused(path: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        path_of(path, "the model")


@pytest.mark.parametrize(
    ("budget", "size"), [("3MB", 3_000_000), (3_000_000, 3_000_000), (np.int64(7), 7)]
)
def test_a_budget_is_a_text_or_bytes(budget: Any, size: int) -> None:
    assert budget_bytes(budget) == size


@pytest.mark.parametrize("budget", ["3", 0, -1, 2.5, True, None, "0B"])
def test_a_budget_that_is_no_size_is_refused(budget: Any) -> None:
    with pytest.raises(InputError, match="budget"):
        budget_bytes(budget)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_a_corpus(kind: Any, tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "corpus", {"calibration": 2, "test": 1})
    corpus = corpus_of(kind(folder))
    assert [clip.split for clip in corpus] == ["calibration", "calibration", "test"]


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_a_corpus_of_one_clip(kind: Any, tmp_path: Path) -> None:
    (path,) = write_clips(tmp_path, clips(1))
    (clip,) = corpus_of(kind(path))
    assert clip.path == path
    assert clip.seconds > 0


def test_a_corpus_stays_what_it_is() -> None:
    corpus = Corpus("mine", (Utterance(Path("a.wav")),))
    assert corpus_of(corpus) is corpus


def test_arrays_are_the_clips_that_files_of_them_are(tmp_path: Path) -> None:
    samples = clips(3)
    from_files = corpus_of(write_clips(tmp_path, samples))
    from_arrays = corpus_of(samples, RATE)
    for ours, theirs in zip(from_arrays, from_files, strict=True):
        assert ours.seconds == theirs.seconds
        assert np.array_equal(load_waveform(ours, 8_000), load_waveform(theirs, 8_000))
    assert [clip.identifier for clip in from_arrays] == ["clip 1", "clip 2", "clip 3"]


def test_files_and_arrays_may_stand_in_one_list(tmp_path: Path) -> None:
    first, second = clips(2)
    (path,) = write_clips(tmp_path, [first])
    corpus = corpus_of([str(path), second], RATE)
    assert [clip.path for clip in corpus] == [path, None]


def test_one_array_is_one_clip() -> None:
    assert len(corpus_of(clips(1)[0], RATE)) == 1


@pytest.mark.parametrize(
    ("audio", "rate", "kind", "message"),
    [
        ([], None, CorpusError, "the list of clips is empty"),
        (3, None, InputError, "audio is a folder, a file, a Corpus, an array or a list"),
        ([3], None, InputError, "the clip is neither a path nor an array but a int"),
        ([[0.1, 0.2]], RATE, InputError, "is for arrays of samples"),
        ([np.zeros(9), [0.1]], RATE, InputError, "clip 2 is neither a path nor an array"),
        ([np.zeros(900)], None, InputError, "an array does not say its sample rate"),
        ([np.zeros(900, np.uint8)], RATE, AudioError, "type uint8"),
        ("missing", None, CorpusError, "missing does not exist"),
        (["missing.wav"], None, AudioError, "cannot read missing.wav"),
        ("missing", RATE, InputError, "a folder says its own"),
        (["missing.wav"], RATE, InputError, "a file says its own"),
        (Corpus("mine", ()), RATE, InputError, "a corpus says its own"),
    ],
)
def test_what_is_no_audio_is_refused(audio: Any, rate: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        corpus_of(audio, rate)


@pytest.mark.parametrize("name", ["model.onnx", "/absolute/model", "model", "../model", "a/b/c"])
def test_what_could_be_an_onnx_is_left_as_it_is(name: str) -> None:
    with float_model(name) as path:
        assert path == Path(name)


def test_a_file_without_a_suffix_is_taken_for_an_onnx(source: Path) -> None:
    bare = source.rename(source.with_suffix(""))
    with float_model(bare) as path:
        assert path == bare


def test_a_folder_that_is_no_checkpoint_is_said_to_be_neither(tmp_path: Path) -> None:
    message = "is no .onnx, and no checkpoint either"
    with pytest.raises(InputError, match=message), float_model(tmp_path):
        pass


@pytest.mark.slow
def test_a_checkpoint_is_exported_for_as_long_as_it_is_used() -> None:
    folder = Path(__file__).resolve().parents[2] / "models" / "keywords-en"
    with float_model(folder) as path:
        assert path.suffix == ".onnx"
        assert path.stat().st_size > 100_000
    assert not path.exists()


@pytest.mark.parametrize(
    ("said", "seconds"), [("auto", None), ("full", WHOLE), ("0", 0), ("2.5", 2.5)]
)
def test_a_window_is_said_in_a_word_or_in_seconds(said: str, seconds: float | None) -> None:
    assert window_seconds(said) == seconds


@pytest.mark.parametrize("said", ["", "short", "-1", "nan", "1,5"])
def test_anything_else_is_no_window(said: str) -> None:
    with pytest.raises(InputError, match="seconds of silence"):
        window_seconds(said)
