"""Datasets of Hugging Face on disk."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.audio.corpora import open_corpus
from quantkit.audio.decode import read_audio
from quantkit.audio.features import load_waveform
from quantkit.errors import CorpusError, MissingDependencyError
from quantkit.training.waveforms import WaveformStore

WriteClip = Callable[..., Path]


def table(clips: list[Path], **columns: list[Any]) -> Any:
    pa = pytest.importorskip("pyarrow")
    audio = [{"bytes": clip.read_bytes(), "path": clip.name} for clip in clips]
    return pa.table({"audio": audio, **columns})


def write(path: Path, content: Any, **options: Any) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(content, path, **options)


@pytest.fixture
def clips(tmp_path: Path, write_clip: WriteClip) -> list[Path]:
    names = ("../outside/a.wav", "../outside/b.flac", "../outside/c.mp3")
    return [write_clip(name, 0.2 + number / 10) for number, name in enumerate(names)]


@pytest.mark.parametrize("group", [1, 2, 100])
def test_clips_are_read_from_the_rows(tmp_path: Path, clips: list[Path], group: int) -> None:
    content = table(clips, sentence=["one", "two", None], client_id=["x", "y", "y"])
    write(tmp_path / "data/test-00000-of-00001.parquet", content, row_group_size=group)
    corpus = open_corpus(tmp_path)
    assert [(u.text, u.speaker, u.split) for u in corpus] == [
        ("one", "x", "test"),
        ("two", "y", "test"),
        (None, "y", "test"),
    ]
    assert corpus.utterances[1].identifier == "data/test-00000-of-00001.parquet[1]"
    for utterance, clip in reversed([*zip(corpus, clips, strict=True)]):
        np.testing.assert_array_equal(load_waveform(utterance, 16_000), read_audio(clip))
    timed = corpus.screened()
    assert [u.seconds for u in timed] == pytest.approx([0.2, 0.3, 0.4], abs=0.01)


def test_what_save_to_disk_writes(tmp_path: Path, clips: list[Path]) -> None:
    pa = pytest.importorskip("pyarrow")
    content = table(clips, text=["one", "two", "three"])
    (tmp_path / "test").mkdir()
    with (
        (tmp_path / "test/data-00000-of-00001.arrow").open("wb") as sink,
        pa.ipc.new_stream(sink, content.schema) as writer,
    ):
        writer.write_table(content)
    corpus = open_corpus(tmp_path)
    assert [u.text for u in corpus] == ["one", "two", "three"]
    assert corpus.values("split") == ("test",)
    np.testing.assert_array_equal(load_waveform(corpus.utterances[2], 16_000), read_audio(clips[2]))


def test_numbers_of_classes_are_named(tmp_path: Path, clips: list[Path]) -> None:
    content = table(clips, gender=[0, 1, 2], lang=["de", "de", "de"])
    names = {"gender": {"names": ["male", "female", "other"], "_type": "ClassLabel"}}
    features = json.dumps({"info": {"features": names}})
    write(tmp_path / "all.parquet", content.replace_schema_metadata({"huggingface": features}))
    assert [(u.gender, u.language) for u in open_corpus(tmp_path)] == [
        ("m", "de"),
        ("f", "de"),
        ("", "de"),
    ]


def test_rows_that_name_files(tmp_path: Path, write_clip: WriteClip) -> None:
    pa = pytest.importorskip("pyarrow")
    write_clip("wav/a.wav")
    write(
        tmp_path / "all.parquet", pa.table({"file": ["wav/a.wav", "gone.wav"], "text": ["x", "y"]})
    )
    corpus = open_corpus(tmp_path)
    assert [(u.identifier, u.text) for u in corpus] == [("wav/a.wav", "x")]
    assert corpus.skipped[0].endswith("gone.wav: no such file")


def test_rows_without_sound_are_left_out(tmp_path: Path, clips: list[Path]) -> None:
    pa = pytest.importorskip("pyarrow")
    audio = [
        {"bytes": clips[0].read_bytes()},
        {"bytes": b"no sound"},
        {"bytes": None},
        None,
    ]
    write(tmp_path / "all.parquet", pa.table({"audio": audio}))
    corpus = open_corpus(tmp_path).screened()
    assert [u.identifier for u in corpus] == ["all.parquet[0]"]
    assert len(corpus.skipped) == 3
    assert corpus.skipped[0].startswith("all.parquet[1] is not audio")


def test_clips_in_tables_can_be_trained_on(tmp_path: Path, clips: list[Path]) -> None:
    write(tmp_path / "c/all.parquet", table(clips))
    corpus = open_corpus(tmp_path / "c")
    store = WaveformStore(corpus.utterances, tmp_path / "audio", 16_000)
    assert [store.length(u) for u in corpus] == [read_audio(clip).size for clip in clips]


def test_damage_and_other_tables_are_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/all.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(CorpusError, match=r"all\.parquet is damaged: "):
        open_corpus(tmp_path / "a")
    write(tmp_path / "b/all.parquet", pa.table({"number": [1, 2]}))
    with pytest.raises(CorpusError, match=r"all\.parquet has no column of audio: number"):
        open_corpus(tmp_path / "b")


def test_without_the_library_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'quantkit\[parquet\]'"):
        open_corpus(tmp_path)


def test_an_empty_dataset_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "all.parquet", table([]).slice(0, 0))
    with pytest.raises(CorpusError, match=r"there is no clip in it|has no column of audio"):
        open_corpus(tmp_path)
