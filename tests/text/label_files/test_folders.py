"""Files and folders, as hubs and toolkits lay them."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import ClassVar

import pytest

from quantkit.errors import InputError
from quantkit.text.label_files import ctc_labels_of
from quantkit.text.label_files.folders import table_of
from quantkit.text.labels import Labels
from tests.text.label_files.sentencepiece_files import model_of

MMS = {"eng": {"<pad>": 0, "|": 1, "a": 2}, "fra": {"<pad>": 0, "|": 1, "é": 2}}


def written(folder: Path, **files: object) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", ["", "vocab.json"])
def test_vocabularies_by_language_follow_the_tokenizer(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path, vocab=MMS, tokenizer_config={"target_lang": "fra"})
    assert ctc_labels_of(folder / name, 3).tokens == ("<pad>", " ", "é")


def test_phonemes_of_a_tokenizer_are_printed_with_spaces(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        vocab={"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "t": 4, "aɪ": 5, "s": 6, "|": 7},
        tokenizer_config={
            "tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer",
            "word_delimiter_token": "|",
            "phone_delimiter_token": " ",
        },
    )
    labels = ctc_labels_of(folder, 8)
    assert labels.decode([4, 5, 7, 6]) == "t aɪ s"
    assert labels.encode("t aɪ s") == [4, 5, 6]


def test_a_tokenizer_in_lower_case_writes_lower_case(tmp_path: Path) -> None:
    settings = {"do_lower_case": True, "word_delimiter_token": "*", "pad_token": "[PAD]"}
    folder = written(
        tmp_path, vocab={"[PAD]": 0, "*": 1, "A": 2, "|": 3}, tokenizer_config=settings
    )
    assert ctc_labels_of(folder, 4).tokens == ("[PAD]", " ", "a", "|")


def test_a_delimiter_that_is_replaced_by_nothing_is_not_printed(tmp_path: Path) -> None:
    settings = {"replace_word_delimiter_char": ""}
    folder = written(tmp_path, vocab={"<pad>": 0, "|": 1, "字": 2}, tokenizer_config=settings)
    assert ctc_labels_of(folder, 3).decode([2, 1, 2]) == "字字"


def test_a_folder_of_sherpa_takes_its_scores_from_the_model_beside_it(tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("<blk> 0\n▁the 1\n▁ca 2\nts 3\n▁cat 4\ns 5\n")
    assert ctc_labels_of(tmp_path, 6).encode("the cats") == [1, 4, 5]
    pieces = [("▁the", -1.0), ("▁ca", -1.0), ("ts", -1.0), ("▁cat", -3.0), ("s", -3.0)]
    (tmp_path / "bpe.model").write_bytes(model_of([("<blk>", 0.0), *pieces]))
    assert ctc_labels_of(tmp_path, 6).encode("the cats") == [1, 2, 3]


def test_a_folder_without_labels_says_what_it_could_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has no vocab\.json, tokenizer\.json, tokens\.txt"):
        table_of(tmp_path)


def test_json_without_its_suffix_is_json_and_brackets_may_be_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text('["<blk>", "a"]')
    assert table_of(tmp_path / "labels.txt").names == ("<blk>", "a")
    (tmp_path / "labels.txt").write_text("[\n]\n{\n")
    assert table_of(tmp_path / "labels.txt").names == ("[", "]", "{")
    (tmp_path / "labels.txt").write_text("[PAD]\n[UNK]\na\n")
    assert table_of(tmp_path / "labels.txt").names == ("[PAD]", "[UNK]", "a")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.txt")
    with pytest.raises(InputError, match="it is no file"):
        table_of(tmp_path / "labels.txt")


def test_a_file_beyond_any_vocabulary_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "labels.txt").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match="larger than 32 MiB"):
        table_of(tmp_path / "labels.txt")


def test_labels_of_a_bundle_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(Labels.english().to_json())
    assert ctc_labels_of(tmp_path / "labels.json", 29) == Labels.english()


class TestNemo:
    @pytest.fixture(autouse=True)
    def _needs_yaml(self) -> None:
        pytest.importorskip("yaml")

    def test_labels_of_its_configuration_have_the_blank_behind_them(self, tmp_path: Path) -> None:
        config = "labels:\n- ' '\n- a\n- no\n- '1'\n- \"'\"\n"
        (tmp_path / "model_config.yaml").write_text(config)
        labels = ctc_labels_of(tmp_path, 6)
        assert labels.tokens == (" ", "a", "no", "1", "'", "<blank>")
        assert labels.blank == 5

    def test_pieces_are_those_of_the_tokenizer_beside_it(self, tmp_path: Path) -> None:
        (tmp_path / "model_config.yaml").write_text("decoder:\n  vocabulary: [a, b, c]\n")
        pieces = [("<unk>", 0.0), ("▁the", -1.0), ("s", -2.0)]
        (tmp_path / "1234_tokenizer.model").write_bytes(model_of(pieces))
        labels = ctc_labels_of(tmp_path, 4)
        assert (labels.decode([1, 2]), labels.blank) == ("thes", 3)

    @pytest.mark.parametrize("content", ["a: [", "labels: [[a]]", "&a [*a]", "[" * 400])
    def test_a_damaged_configuration_is_refused(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "model_config.yaml").write_text(content)
        with pytest.raises(InputError):
            ctc_labels_of(tmp_path / "model_config.yaml", 2)


def archive_of(mode: str = "w", **files: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:  # type: ignore[call-overload]
        for name, body in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return content.getvalue()


class TestNemoArchives:
    PIECES: ClassVar = model_of([("<unk>", 0.0), ("▁the", -1.0), ("s", -2.0)])
    CONFIG = b"tokenizer: {type: bpe, model_path: 'nemo:a1_tokenizer.model'}\n"
    AGGREGATE = (
        b"tokenizer: {langs: {en: {model_path: 'nemo:en.model'}, es: {model_path: es.model}}}"
    )

    # The header alone.
    LARGE: ClassVar = archive_of(**{"model_config.yaml": b""})[:124] + b"00200000001\0"
    LARGE += archive_of(**{"model_config.yaml": b""})[136:512]

    @pytest.fixture(autouse=True)
    def _needs_yaml(self) -> None:
        pytest.importorskip("yaml")

    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_labels_are_those_of_the_tokenizer(self, tmp_path: Path, mode: str) -> None:
        files = {"model_weights.ckpt": b"x" * 9_999, "a1_tokenizer.model": self.PIECES}
        content = archive_of(mode, **{"model_config.yaml": self.CONFIG}, **files)
        (tmp_path / "m.nemo").write_bytes(content)
        for path in (tmp_path / "m.nemo", tmp_path):
            labels = ctc_labels_of(path, 4)
            assert (labels.decode([1, 2]), labels.blank, labels.silent) == ("thes", 3, (0,))
            assert labels.encode("thes") == [1, 2]

    def test_labels_of_the_configuration(self, tmp_path: Path) -> None:
        config = b"labels: [' ', a, b]\n"
        (tmp_path / "m.nemo").write_bytes(archive_of(**{"model_config.yaml": config}))
        assert ctc_labels_of(tmp_path / "m.nemo", 4).tokens == (" ", "a", "b", "<blank>")

    def test_pieces_of_several_languages_follow_each_other(self, tmp_path: Path) -> None:
        files = {"model_config.yaml": self.AGGREGATE, "en.model": self.PIECES}
        spanish = model_of([("<unk>", 0.0), ("▁los", -1.0), ("s", -2.0)])
        path = tmp_path / "m.nemo"
        path.write_bytes(archive_of(**files, **{"es.model": spanish}))
        labels = ctc_labels_of(path, 7)
        assert labels.decode([1, 2, 4, 5]) == "thes loss"
        assert (labels.blank, labels.silent) == (6, (0, 3))
        path.write_bytes(archive_of(**files))
        with pytest.raises(InputError, match="tokenizer of the language es is not beside it"):
            ctc_labels_of(path, 7)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "has no model_config.yaml"),
            (b"not a tar" * 100, "is not an archive"),
            (b"\x1f\x8b\x08" + bytes(50), "is not an archive"),
            (archive_of(**{"model_config.yaml": CONFIG})[:540], "is not an archive"),
            (archive_of(**{"model_config.yaml": b"a: 1"}), "lists none, and names no tokenizer"),
            (LARGE, "larger than any tokenizer"),
        ],
    )
    def test_what_is_none_is_refused(self, tmp_path: Path, content: bytes, reason: str) -> None:
        (tmp_path / "m.nemo").write_bytes(content)
        with pytest.raises(InputError, match=reason):
            ctc_labels_of(tmp_path / "m.nemo", 4)
