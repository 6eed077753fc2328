"""Corpora: each clip of a list is there, or said to be left out; nothing outside is read."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
from pathlib import Path

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt, command
from benchmarks.fuzz.damage import ODD_NUMBERS, ODD_TEXTS, damaged
from benchmarks.fuzz.json_damage import changed_json
from benchmarks.fuzz.models import write_corpus
from quantkit.audio.corpora import open_corpus
from quantkit.audio.decode import read_audio
from quantkit.audio.utterance import Corpus

_LISTS = {
    "manifest": ("manifest.tsv",),
    "kaldi": ("wav.scp", "text", "utt2spk", "segments", "utt2dur"),
    "jsonl": ("train_manifest.json",),
    "csv": ("metadata.csv",),
    "librispeech": ("SPEAKERS.TXT", "dev/1/2/1-2.trans.txt"),
}


class Corpora:
    """Rows that are changed, removed, repeated or odd, and clips that are damaged."""

    name, share = "corpora", 110

    def prepare(self, seeds: Path) -> None:
        for layout in _LISTS:
            folder = seeds / "corpora" / layout
            write_corpus(folder)
            rows = [
                {"audio_filepath": f"clip{i}.wav", "text": "a bad cab", "duration": 0.6 + 0.1 * i}
                for i in range(6)
            ]
            if layout != "manifest":
                (folder / "manifest.tsv").unlink()
            if layout == "kaldi":
                _write_kaldi(folder)
            elif layout == "jsonl":
                lines = "".join(json.dumps(row) + "\n" for row in rows)
                (folder / "train_manifest.json").write_text(lines)
            elif layout == "csv":
                text = io.StringIO()
                writer = csv.writer(text)
                writer.writerow(("file_name", "transcription", "speaker_id"))
                writer.writerows((f"clip{i}.wav", 'a "bad", cab', "ann") for i in range(6))
                (folder / "metadata.csv").write_text(text.getvalue())
            elif layout == "librispeech":
                _write_librispeech(folder)

    def run(self, case: Case) -> Answer:
        layout = case.random.choice(sorted(_LISTS))
        seed, folder = case.seeds / "corpora" / layout, case.folder / "corpus"
        shutil.copytree(seed, folder)
        (case.folder / "outside.wav").write_bytes(b"RIFF")
        file = folder / case.random.choice(_LISTS[layout])
        way = case.random.random()
        if way < 0.1:
            file.write_bytes(_respelled(file.read_bytes(), case))
            return self._same(folder, seed)
        if way < 0.6:
            file.write_bytes(_changed_rows(file.read_text(), case))
        elif way < 0.8:
            file.write_bytes(damaged(file.read_bytes(), case.random))
        else:
            clip = case.random.choice(sorted(folder.rglob("*.wav")))
            clip.write_bytes(damaged(clip.read_bytes(), case.random))
        found = attempt(lambda: open_corpus(folder))
        self._require_sound(found, folder)
        if case.random.random() < 0.2:
            command(
                *("quantize", case.seeds / "model.onnx", "--preset", "static-int8", "--dry-run"),
                *("--audio", folder, "-o", case.folder / "made.onnx"),
            )
        return "right"

    @staticmethod
    def _same(folder: Path, seed: Path) -> Answer:
        try:
            found = attempt(lambda: open_corpus(folder))
        except Refused as refusal:
            raise WrongResult(f"a list that says the same is refused: {refusal}") from None
        expected = open_corpus(seed)
        if _described(found) != _described(expected):
            raise WrongResult(f"a list that says the same gives {_described(found)}")
        return "right"

    @staticmethod
    def _require_sound(corpus: Corpus, folder: Path) -> None:
        root = folder.resolve()
        names = [utterance.identifier for utterance in corpus]
        if not names or len(set(names)) != len(names):
            raise WrongResult(f"names of clips are missing or repeated: {names}")
        for utterance in corpus:
            assert utterance.path is not None
            if not utterance.path.resolve().is_relative_to(root):
                raise WrongResult(f"{utterance.path} lies outside the corpus")
            if not 0 <= utterance.seconds < float("inf"):
                raise WrongResult(f"{utterance.identifier} lasts {utterance.seconds} s")
            if utterance.gender not in ("", "m", "f") or utterance.text == "":
                raise WrongResult(f"an odd clip: {utterance}")
            with contextlib.suppress(Refused):
                attempt(lambda u=utterance: read_audio(u.path, excerpt=u.excerpt))  # type: ignore[misc]


def _described(corpus: Corpus) -> list[tuple[object, ...]]:
    return [
        (u.identifier, u.text, u.speaker, u.gender, u.split, u.seconds, u.excerpt) for u in corpus
    ]


def _respelled(content: bytes, case: Case) -> bytes:
    way = case.random.randrange(4)
    if way == 0:
        return b"\xef\xbb\xbf" + content
    if way == 1:
        return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if way == 2:
        return content.rstrip(b"\r\n")
    return content.rstrip(b"\r\n") + b"\n\n"


def _changed_rows(text: str, case: Case) -> bytes:
    lines = text.splitlines()
    if lines and lines[0].startswith("{") and case.random.random() < 0.6:
        place = case.random.randrange(len(lines))
        changed = changed_json(lines[place], case.random).replace(b"\n", b" ")
        return b"\n".join([*(line.encode() for line in lines[:place]), changed, b""])
    for _ in range(case.random.choice((1, 1, 2)) if lines else 0):
        place = case.random.randrange(len(lines))
        mark = next((mark for mark in ("\t", ",", " ") if mark in lines[place]), " ")
        fields = lines[place].split(mark)
        way = case.random.randrange(6)
        if way == 0:
            del lines[place]
            if not lines:
                break
        elif way == 1:
            lines.insert(place, lines[place])
        elif way == 2:
            fields.insert(case.random.randrange(len(fields) + 1), "x")
            lines[place] = mark.join(fields)
        else:
            odd = case.random.choice(
                (*ODD_TEXTS, *ODD_NUMBERS, "../outside.wav", "sox x.wav -t wav - |")
            )
            fields[case.random.randrange(len(fields))] = str(odd)
            lines[place] = mark.join(fields)
    return "\n".join([*lines, ""]).encode("utf-8", "surrogatepass")


def _write_kaldi(folder: Path) -> None:
    names = [f"clip{i}" for i in range(6)]
    (folder / "wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in names))
    (folder / "text").write_text("".join(f"{name}-a a bad cab\n" for name in names))
    (folder / "utt2spk").write_text("".join(f"{name}-a ann\n" for name in names))
    (folder / "segments").write_text("".join(f"{name}-a {name} 0.1 0.5\n" for name in names))
    (folder / "utt2dur").write_text("".join(f"{name}-a 0.4\n" for name in names))


def _write_librispeech(folder: Path) -> None:
    chapter = folder / "dev" / "1" / "2"
    chapter.mkdir(parents=True)
    clips = sorted(folder.glob("*.wav"))
    lines = []
    for number, clip in enumerate(clips):
        clip.rename(chapter / f"1-2-{number:04}.wav")
        lines.append(f"1-2-{number:04} A BAD CAB\n")
    (chapter / "1-2.trans.txt").write_text("".join(lines))
    (folder / "SPEAKERS.TXT").write_text("; READERS\n1 | F | dev | 3.5 | Ann\n")
