"""``quantkit.load``: a file, an array or many of them become text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import quantkit
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import AudioError, InputError, ModelError
from quantkit.exporting.frontend_graph import fuse_frontend
from quantkit.graph.artifact import load_model, read_info, save_model
from tests.api.small import RATE, clips, write_clips
from tests.small_model import LABELS
from tests.whisper import exported_whisper


@pytest.fixture
def model(source: Path) -> quantkit.Model:
    return quantkit.load(source)


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_may_be_texts(kind: Any, source: Path, tmp_path: Path) -> None:
    (path,) = write_clips(tmp_path / "clips", clips(1))
    transcript = quantkit.load(kind(source)).transcribe(kind(path))
    assert transcript.path == path
    assert isinstance(transcript.text, str)


def test_a_model_says_what_it_is(model: quantkit.Model) -> None:
    assert (model.sample_rate, model.labels) == (RATE, LABELS.tokens)
    assert model.task == model.info.task
    assert model.name == model.info.name


def test_an_array_gives_the_text_of_the_file_of_its_samples(
    model: quantkit.Model, tmp_path: Path
) -> None:
    for number, samples in enumerate(clips(4)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, samples, RATE, subtype="PCM_16")
        expected = model.transcribe(path).text
        floats = samples / 32_768
        for same in (samples, floats, floats.astype(np.float32), samples.astype(np.int32) << 16):
            assert model.transcribe(same, RATE).text == expected
        stereo = np.stack([samples, samples])
        assert model.transcribe(stereo, sample_rate=RATE).text == expected
        assert model.transcribe(stereo.T, sample_rate=RATE).text == expected


def test_what_soundfile_reads_can_be_handed_on(model: quantkit.Model, tmp_path: Path) -> None:
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (22_050, 2))
    soundfile.write(tmp_path / "clip.wav", stereo, 44_100)
    heard = model.transcribe(*soundfile.read(tmp_path / "clip.wav"))
    assert heard.text == model.transcribe(tmp_path / "clip.wav").text
    assert heard.seconds == 0.5


def test_a_list_gives_a_list_in_its_order(model: quantkit.Model, tmp_path: Path) -> None:
    samples = clips(3)
    paths = write_clips(tmp_path, samples)
    mixed = model.transcribe([str(paths[0]), samples[1], paths[2]], RATE)
    assert [each.text for each in mixed] == [model.transcribe(path).text for path in paths]
    assert [each.path for each in mixed] == [paths[0], None, paths[2]]
    assert model.transcribe([]) == []


def test_a_corpus_gives_a_list(model: quantkit.Model, tmp_path: Path) -> None:
    paths = write_clips(tmp_path, clips(2))
    corpus = Corpus("two", tuple(map(Utterance, paths)))
    assert [each.path for each in model.transcribe(corpus)] == paths


def test_texts_are_there_before_a_clip_that_cannot_be_read(
    model: quantkit.Model, tmp_path: Path
) -> None:
    (path,) = write_clips(tmp_path, clips(1))
    transcripts = model.transcribe_each([path, tmp_path / "missing.wav"])
    assert next(transcripts).path == path
    with pytest.raises(AudioError, match=r"missing\.wav"):
        next(transcripts)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("audio", "rate", "kind", "message"),
    [
        (np.zeros(4_000, np.float32), None, InputError, "does not say its sample rate"),
        (np.zeros(4_000, np.uint8), RATE, AudioError, "the clip: samples of type uint8"),
        (np.full(4_000, np.nan), RATE, AudioError, "not finite"),
        (np.full(4_000, 900.0), RATE, AudioError, "divide 16-bit numbers by 32768"),
        (np.zeros(0), RATE, AudioError, "holds no samples"),
        (np.zeros(300), RATE, AudioError, "300 samples are shorter than one window"),
        (np.zeros((3, 40, 40)), RATE, AudioError, "is no clip"),
        ([np.zeros(4_000), np.zeros(9, int)], RATE, AudioError, "clip 2: samples of type int64"),
        ([0.1, 0.2], RATE, InputError, "sample_rate is for arrays"),
        ([0.1, 0.2], None, InputError, "clip 1 is neither a path nor an array but a float"),
        (7, None, InputError, "clips are a file, an array, a list of them or a Corpus, not int"),
        ("missing.wav", None, AudioError, "cannot read missing.wav"),
        ("missing.wav", RATE, InputError, "a file says its own"),
    ],
)
def test_what_would_give_other_text_in_silence_is_refused(
    audio: Any, rate: Any, kind: Any, message: str, fused: bool, source: Path
) -> None:
    if fused:
        frontend = read_info(source).frontend
        assert isinstance(frontend, quantkit.load(source).info.frontend.__class__)
        save_model(fuse_frontend(load_model(source), frontend), source)  # type: ignore[arg-type]
    with pytest.raises(kind, match=message):
        quantkit.load(source).transcribe(audio, rate)


def test_a_transcript_is_a_row_for_programs(model: quantkit.Model) -> None:
    transcript = model.transcribe(clips(1)[0], RATE)
    row = transcript.to_dict()
    assert set(row) == {"text", "seconds", "compute_seconds"}
    assert transcript.rows() == []


@pytest.mark.parametrize("threads", [-1, 1.5, True, None])
def test_a_number_of_threads_that_there_is_not(threads: Any, source: Path) -> None:
    with pytest.raises(InputError, match="threads is a whole number"):
        quantkit.load(source, threads=threads)


def test_a_language_model_may_be_named_by_a_text(source: Path, tmp_path: Path) -> None:
    decoding = quantkit.Decoding("beam", language_model=str(tmp_path / "no.arpa"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"no\.arpa"):
        quantkit.load(source, decoding=decoding).transcribe(clips(1)[0], RATE)


@pytest.mark.slow
def test_a_whisper_hears_arrays_of_any_length_and_says_what_was_said_when(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = exported_whisper(tmp_path_factory)
    samples = np.random.default_rng(0).integers(-9_000, 9_000, 35 * RATE).astype(np.int16)
    soundfile.write(tmp_path / "long.wav", samples, RATE, subtype="PCM_16")
    decoding = quantkit.Decoding(language="de", timestamps=True, temperatures=(0.0,))
    model = quantkit.load(path, decoding=decoding)
    of_array = model.transcribe(samples, RATE)
    of_file = model.transcribe(tmp_path / "long.wav")
    assert (of_array.text, of_array.segments) == (of_file.text, of_file.segments)
    assert (of_array.language, of_array.seconds) == ("de", 35.0)
    assert len(of_array.rows()) == len(of_array.segments)
    assert model.labels == ()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        quantkit.load(tmp_path / "missing.onnx")
    with pytest.raises(InputError, match="the model must be a path, not NoneType"):
        quantkit.load(None)  # type: ignore[arg-type]
