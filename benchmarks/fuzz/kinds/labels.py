"""Files with labels: spelled differently they are the same, and what is accepted can be used."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt
from benchmarks.fuzz.damage import ODD_TEXTS, damaged
from benchmarks.fuzz.json_damage import changed_json
from quantkit.errors import QuantkitError
from quantkit.text.label_files import classes_of, ctc_labels_of, read_names
from quantkit.text.labels import Labels

_TOKENS = ("<blank>", "▁", "a", "▁the", "b", "c", "'", "é", "ß", "ing")


class LabelFiles:
    """Lists, tables, tokenizers and folders."""

    name, share = "labels", 110

    def prepare(self, seeds: Path) -> None:
        folder = seeds / "label files"
        folder.mkdir(parents=True)
        lines = "\n".join(_TOKENS) + "\n"
        (folder / "labels.txt").write_text(lines, encoding="utf-8")
        numbered = "".join(f"{token} {i}\n" for i, token in enumerate(_TOKENS))
        (folder / "tokens.txt").write_text(numbered, encoding="utf-8")
        scored = "".join(f"{token}\t{-i}\n" for i, token in enumerate(_TOKENS))
        (folder / "pieces.vocab").write_text(scored, encoding="utf-8")
        table = {token: i for i, token in enumerate(_TOKENS)}
        documents = {
            "list.json": [*_TOKENS],
            "vocab.json": table,
            "nested.json": {"eng": table, "deu": dict(table)},
            "tokenizer.json": {
                "version": "1.0",
                "added_tokens": [{"id": 0, "content": "<blank>", "special": True}],
                "pre_tokenizer": {"type": "Metaspace", "replacement": "▁"},
                "model": {"type": "Unigram", "vocab": [[t, -i] for i, t in enumerate(_TOKENS)]},
            },
            "config.json": {"id2label": dict(enumerate(_TOKENS)), "model_type": "wav2vec2"},
        }
        for name, content in documents.items():
            (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        tokenizer = folder / "tokenizer"
        tokenizer.mkdir()
        shutil.copy(folder / "nested.json", tokenizer / "vocab.json")
        settings = {"target_lang": "eng", "pad_token": "<blank>", "word_delimiter_token": "▁"}
        (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings))
        config = json.dumps({"labels": [*_TOKENS]}, ensure_ascii=False).encode()
        with tarfile.open(folder / "model.nemo", "w") as archive:
            for name, body in (("weights.ckpt", bytes(700)), ("model_config.yaml", config)):
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(body)
                archive.addfile(member, io.BytesIO(body))

    def run(self, case: Case) -> Answer:
        folder = case.seeds / "label files"
        seed = case.random.choice(sorted(folder.iterdir()))
        copy = case.folder / seed.name
        (shutil.copytree if seed.is_dir() else shutil.copy)(seed, copy)
        file = copy if copy.is_file() else case.random.choice(sorted(copy.iterdir()))
        before = file.read_text(encoding="utf-8")
        is_same = case.random.random() < 0.2
        if is_same and file.suffix == ".nemo":
            file.write_bytes(gzip.compress(file.read_bytes()))
        elif is_same:
            file.write_bytes(_respelled(before, case, file.suffix == ".json"))
        elif file.suffix == ".json" and case.random.random() < 0.7:
            file.write_bytes(changed_json(before, case.random))
        elif case.random.random() < 0.5:
            file.write_bytes(_changed_lines(before, case))
        else:
            file.write_bytes(damaged(file.read_bytes(), case.random))
        try:
            names = attempt(lambda: read_names(copy))
        except Refused as refusal:
            if is_same and _accepts(seed):
                raise WrongResult(f"{seed.name} says the same, and is refused: {refusal}") from None
            raise
        if is_same and names != read_names(seed):
            raise WrongResult(f"{seed.name} says the same, and reads {names}")
        if not names or not all(isinstance(name, str) for name in names):
            raise WrongResult(f"accepted, with the names {names!r}")
        self._require_usable(copy, len(names))
        return "right"

    @staticmethod
    def _require_usable(path: Path, count: int) -> None:
        labels = attempt(lambda: ctc_labels_of(path, count))
        if Labels.from_json(labels.to_json()) != labels:
            raise WrongResult("labels change by being written")
        text = labels.decode(sorted(labels.written.values())[:5])
        if labels.covers(text):
            labels.encode(text)
        attempt(lambda: classes_of(path, count))


def _accepts(path: Path) -> bool:
    try:
        return bool(read_names(path))
    except QuantkitError:
        return False


def _respelled(text: str, case: Case, is_json: bool) -> bytes:
    """With other line ends, a byte-order mark, or no line end at the end."""
    way = case.random.randrange(4)
    if way == 0:
        return b"\xef\xbb\xbf" + text.encode()
    if way == 1 and not is_json:
        return text.replace("\n", "\r\n").encode()
    if way == 2:
        return text.rstrip("\n").encode()
    return text.encode() + (b"\n" if is_json else b"")


def _changed_lines(text: str, case: Case) -> bytes:
    lines = text.splitlines()
    for _ in range(case.random.choice((1, 2))):
        place = case.random.randrange(len(lines))
        odd = case.random.choice(ODD_TEXTS)
        way = case.random.randrange(6)
        if way == 0:
            lines[place] = odd
        elif way == 1:
            lines.insert(place, odd)
        elif way == 2 and len(lines) > 1:
            del lines[place]
        elif way == 3:
            lines.append(lines[place])
        elif way == 4:
            lines[place] += case.random.choice(
                (" 1", " -1", " 99999999999999999999", "\t0.5", " ", odd)
            )
        else:
            case.random.shuffle(lines)
    return "\n".join(lines).encode("utf-8", "surrogatepass")
