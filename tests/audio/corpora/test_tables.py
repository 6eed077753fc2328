"""Tables of clips as other programs write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus
from quantkit.errors import CorpusError

WriteClip = Callable[..., Path]

# Longer than any file system lets a name be.
LONG = "x" * 300


def described(corpus: Corpus) -> list[tuple[str, str | None, str, str, str, str]]:
    return [(u.identifier, u.text, u.speaker, u.gender, u.language, u.split) for u in corpus]


@pytest.fixture
def folder(tmp_path: Path, write_clip: WriteClip) -> Path:
    for name in ("a.wav", "b.wav", "clips/c.flac"):
        write_clip(name)
    return tmp_path


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "path", ["path", "file", "audio", "wav", "filename", "file_name", "audio_filepath", "FILE"]
)
@pytest.mark.parametrize("text", ["text", "sentence", "transcript", "transcription"])
def test_columns_by_their_other_names(
    folder: Path, mark: str, newline: str, path: str, text: str
) -> None:
    table = f"{mark}{path},{text},sex,locale,client_id,duration\na.wav,Straße,female,de,ann,0.25\n"
    (folder / "metadata.csv").write_bytes(table.replace("\n", newline).encode())
    corpus = open_corpus(folder)
    assert described(corpus) == [("a.wav", "Straße", "ann", "f", "de", "")]
    assert corpus.seconds == 0.25


def test_a_name_with_a_nul_is_refused(folder: Path) -> None:
    (folder / "metadata.jsonl").write_text(lines({"file_name": "a\0.wav", "text": "one"}))
    with pytest.raises(CorpusError, match=r"metadata\.jsonl, line 1: path .* holds a NUL"):
        open_corpus(folder)


def test_a_csv_whose_first_line_is_none_is_no_table(folder: Path) -> None:
    (folder / "metadata.csv").write_bytes(b"file_na\rme,text\na.wav,one\n")
    assert [u.text for u in open_corpus(folder)] == [None, None, None]


class TestNemo:
    def test_json_lines(self, folder: Path) -> None:
        (folder / "test_manifest.json").write_text(
            lines(
                {"audio_filepath": "a.wav", "duration": 0.25, "text": "one"},
                {"audio_filepath": str(folder / "b.wav"), "duration": 0.25, "text": "two"},
            )
        )
        assert described(open_corpus(folder)) == [
            ("a.wav", "one", "", "", "", "test"),
            ("b.wav", "two", "", "", "", "test"),
        ]

    def test_offsets_are_parts_of_a_recording(self, tmp_path: Path) -> None:
        samples = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000).astype(np.float32)
        soundfile.write(tmp_path / "long.wav", samples, 16_000, subtype="FLOAT")
        parts = [{"offset": 0.5, "duration": 1.0}, {"offset": 2.0, "duration": 0.25}]
        rows = [{"audio_filepath": "long.wav", "text": "x", **part} for part in parts]
        (tmp_path / "manifest.jsonl").write_text(lines(*rows))
        corpus = open_corpus(tmp_path)
        assert [u.seconds for u in corpus] == [1.0, 0.25]
        first, second = (load_waveform(u, 16_000) for u in corpus)
        np.testing.assert_array_equal(first, samples[8_000:24_000])
        np.testing.assert_array_equal(second, samples[32_000:36_000])
        assert len({u.identifier for u in corpus}) == 2

    def test_a_manifest_can_be_named(self, folder: Path) -> None:
        for name, clip in (("one", "a.wav"), ("two", "b.wav")):
            (folder / f"{name}.jsonl").write_text(lines({"audio_filepath": clip, "text": name}))
        assert [u.text for u in open_corpus(folder / "two.jsonl")] == ["two"]
        with pytest.raises(CorpusError, match=r"several tables of clips, one\.jsonl, two\.jsonl; "):
            open_corpus(folder)

    def test_a_list_of_objects(self, folder: Path) -> None:
        rows = [{"path": "a.wav", "text": "one"}, {"path": "b.wav", "text": None}]
        (folder / "all.json").write_text(json.dumps(rows, indent=2))
        assert [u.text for u in open_corpus(folder)] == ["one", None]


def test_common_voice(folder: Path, write_clip: WriteClip) -> None:
    write_clip("clips/d.mp3")
    header = "client_id\tpath\tsentence\tup_votes\tgender\tlocale\n"
    row = 'abc\tc.flac\tsay "yes"\t2\tfemale_feminine\tcy\n'
    (folder / "train.tsv").write_text(header + row)
    (folder / "dev.tsv").write_text(header)
    (folder / "test.tsv").write_text(header + "def\td.mp3\tno\t2\t\tcy\n")
    (folder / "validated.tsv").write_text(header + row)
    (folder / "other.tsv").write_text(header + row)
    (folder / "clip_durations.tsv").write_text("clip\tduration[ms]\nc.flac\t250\n")
    assert sorted(described(open_corpus(folder)), reverse=True) == [
        ("clips/d.mp3", "no", "def", "", "cy", "test"),
        ("clips/c.flac", 'say "yes"', "abc", "f", "cy", "train"),
    ]


def test_common_voice_of_2019_names_no_endings(folder: Path, write_clip: WriteClip) -> None:
    write_clip("clips/0af3.mp3")
    rows = "abc\t0af3\tyes\t2\t0\nabc\t77b1\tno\t2\t0\n"
    (folder / "train.tsv").write_text(f"client_id\tpath\tsentence\tup_votes\tdown_votes\n{rows}")
    corpus = open_corpus(folder)
    assert [utterance.name for utterance in corpus.utterances] == ["clips/0af3.mp3"]
    assert len(corpus.skipped) == 1
    assert "77b1: no such file" in corpus.skipped[0]


class TestAudioFolder:
    def test_csv_with_quotes_and_newlines(self, folder: Path) -> None:
        (folder / "metadata.csv").write_text(
            'file_name,transcription\na.wav,"one, ""two"""\nb.wav,"three\nfour"\n'
        )
        assert [u.text for u in open_corpus(folder)] == ['one, "two"', "three\nfour"]

    def test_a_folder_for_each_split(self, tmp_path: Path, write_clip: WriteClip) -> None:
        for split in ("train", "test"):
            write_clip(f"{split}/x.wav")
            table = tmp_path / split / "metadata.jsonl"
            table.write_text(lines({"file_name": "x.wav", "text": split}))
        assert [(u.identifier, u.text, u.split) for u in open_corpus(tmp_path)] == [
            ("test/x.wav", "test", "test"),
            ("train/x.wav", "train", "train"),
        ]

    def test_semicolons(self, folder: Path) -> None:
        (folder / "all.csv").write_text("file;text\na.wav;one, two\n")
        assert [u.text for u in open_corpus(folder)] == ["one, two"]


def test_wrong_paths_are_left_out_and_named(folder: Path) -> None:
    (folder / "empty.wav").touch()
    (folder / "metadata.csv").write_text(
        f"path,text\ngone.wav,x\n{LONG},x\nempty.wav,x\nclips,x\na.wav,one\na.wav,again\n"
    )
    corpus = open_corpus(folder)
    assert [u.text for u in corpus] == ["one"]
    gone, long, empty, clips, twice = corpus.skipped
    assert long.endswith(f"{LONG}: File name too long")
    assert gone.endswith("gone.wav: no such file")
    assert empty.endswith("empty.wav: is empty")
    assert clips.endswith("clips: is a folder")
    assert "a.wav: is named in" in twice


def test_odd_values_are_unknown_and_no_error(folder: Path) -> None:
    (folder / "metadata.jsonl").write_text(
        lines(
            {"path": "a.wav", "text": 5, "gender": "other", "duration": "soon", "speaker": 17},
            {"path": "b.wav", "text": ["x"], "duration": 1e999, "gender": None},
        )
    )
    first, second = open_corpus(folder)
    assert (first.text, first.gender, first.seconds, first.speaker) == ("5", "", 0.0, "17")
    assert (second.text, second.seconds) == (None, 0.0)


@pytest.mark.parametrize("path", ["../a.wav", "/etc/hostname", "clips/../../a.wav"])
def test_paths_out_of_the_folder_are_refused(folder: Path, path: str) -> None:
    (folder / "all.csv").write_text(f"path,text\n{path},x\n")
    with pytest.raises(CorpusError, match=r"all\.csv, line 2: path .* leaves the corpus"):
        open_corpus(folder)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"path": "a.wav", "text": "x"}\n{"path": \n', "line 2: not JSON"),
        ('{"path": "a.wav", "text": "x"}\n[1]\n', "line 2: expected a JSON object"),
        ('{"path": "a.wav", "text": "x"}\n' + "[" * 100_000 + "\n", "line 2: not JSON"),
        ('{"path": "", "text": "x"}\n', "line 1: the path is empty"),
    ],
)
def test_damage_is_named_with_its_line(folder: Path, content: str, problem: str) -> None:
    (folder / "all.jsonl").write_text(content)
    with pytest.raises(CorpusError, match=rf"all\.jsonl, {problem}"):
        open_corpus(folder)


def test_a_manifest_that_is_damaged_in_its_first_line_is_one_all_the_same(folder: Path) -> None:
    (folder / "all.jsonl").write_text(
        '{"audio_filepath": "a.wav", "text": "x"\n{"path": "b.wav"}\n'
    )
    for source in (folder, folder / "all.jsonl"):
        with pytest.raises(CorpusError, match=r"all\.jsonl, line 1: not JSON"):
            open_corpus(source)


def test_a_table_without_paths_says_which_columns_it_needs(folder: Path) -> None:
    (folder / "notes.csv").write_text("who,what\nann,x\n")
    with pytest.raises(CorpusError, match=r"notes\.csv has no column of paths, such as path"):
        open_corpus(folder / "notes.csv")


def test_a_table_that_says_nothing_of_clips_leaves_a_folder_plain(folder: Path) -> None:
    (folder / "notes.csv").write_text("file,remark\na.wav,loud\n")
    (folder / "results.json").write_text('{"schema": "x"}')
    assert len(open_corpus(folder)) == 3
