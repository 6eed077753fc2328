"""Tokenizers, held against the libraries that wrote their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quantkit.errors import InputError
from quantkit.text.label_files import ctc_labels_of
from quantkit.text.label_files.sentencepiece_model import table_of_model
from tests.text.label_files.sentencepiece_files import BPE, CHARACTERS, model_of

SENTENCES = [
    "the old cats sat on the mats and the dogs ran after them",
    "it's a café where naïve people drink their tea in peace",
    "she sells sea shells by the sea shore and he sells them too",
    "round the rugged rocks the ragged rascal ran and ran again",
    "peter piper picked a peck of pickled peppers for the pie",
] * 4
PIECES = [("<unk>", 0.0), ("▁the", -1.5), ("▁", -3.0), ("s", -2.0), ("<0x41>", -9.0)]


def test_pieces_scores_and_control_pieces_of_a_model() -> None:
    table = table_of_model(model_of(PIECES), "m.model")
    assert table.names == ("<unk>", "▁the", "▁", "s", "<0x41>")
    assert (table.scores, table.method) == ((0.0, -1.5, -3.0, -2.0, -9.0), "unigram")
    assert table.silent == {"<unk>"}
    assert table_of_model(model_of(PIECES, BPE), "m.model").method == "bpe"
    assert table_of_model(model_of(PIECES, CHARACTERS), "m.model").method == "unigram"


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\x0a\xff\xff\xff\xff\x0f", b"\x80" * 50, model_of(PIECES)[:-9], b"\x0b"],
)
def test_a_damaged_model_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="SentencePiece model"):
        table_of_model(content, "m.model")


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char"])
@pytest.mark.parametrize("falls_back", [False, True])
@pytest.mark.parametrize("suffix", [".model", ".vocab"])
def test_sentencepiece_itself_cuts_and_joins_alike(
    tmp_path: Path, kind: str, falls_back: bool, suffix: str
) -> None:
    library = pytest.importorskip("sentencepiece")
    (tmp_path / "text.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    library.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"),
        model_prefix=str(tmp_path / "m"),
        vocab_size=350 if falls_back else 90,
        model_type=kind,
        byte_fallback=falls_back,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    processor = library.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    size = processor.vocab_size()
    labels = ctc_labels_of(tmp_path / f"m{suffix}", size + 1, blank=size)
    sentences = [*SENTENCES, "rats at tea", *(["straße über"] if falls_back else [])]
    for sentence in sentences:
        pieces = processor.encode(sentence)
        assert labels.encode(sentence) == pieces
        assert labels.decode(pieces) == processor.decode(pieces)


def trained(kind: str) -> Any:
    library = pytest.importorskip("tokenizers")
    models, before, decoders = library.models, library.pre_tokenizers, library.decoders
    trainers = library.trainers
    special = {"special_tokens": ["<pad>", "<unk>"], "show_progress": False}
    if kind == "unigram":
        tokenizer = library.Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer, tokenizer.decoder = before.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=90, unk_token="<unk>", **special)
    elif kind == "metaspace":
        tokenizer = library.Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer, tokenizer.decoder = before.Metaspace(), decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=90, **special)
    elif kind == "bytes":
        tokenizer = library.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = before.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = before.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, **special)
    elif kind == "suffix":
        tokenizer = library.Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
        tokenizer.pre_tokenizer, tokenizer.decoder = (
            before.WhitespaceSplit(),
            decoders.BPEDecoder(),
        )
        trainer = trainers.BpeTrainer(vocab_size=90, end_of_word_suffix="</w>", **special)
    else:
        tokenizer = library.Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.pre_tokenizer = before.WhitespaceSplit()
        tokenizer.decoder = decoders.WordPiece(cleanup=False)
        trainer = trainers.WordPieceTrainer(vocab_size=90, **special)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


@pytest.mark.parametrize("kind", ["unigram", "metaspace", "bytes", "suffix", "wordpiece"])
def test_the_library_tokenizers_cuts_and_joins_alike(tmp_path: Path, kind: str) -> None:
    tokenizer = trained(kind)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    labels = ctc_labels_of(tmp_path, tokenizer.get_vocab_size())
    for sentence in SENTENCES:
        pieces = tokenizer.encode(sentence).ids
        assert labels.encode(sentence) == pieces
        assert labels.decode(pieces) == tokenizer.decode(pieces).strip()


def test_letters_of_a_tokenizer_with_a_ctc_decoder(tmp_path: Path) -> None:
    content = {
        "added_tokens": [{"id": 0, "content": "[P]", "special": True}],
        "decoder": {"type": "CTC", "pad_token": "[P]", "word_delimiter_token": "*"},
        "model": {"type": "WordLevel", "vocab": {"[P]": 0, "*": 1, "a": 2, "|": 3}},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    labels = ctc_labels_of(tmp_path / "tokenizer.json", 4)
    assert labels.tokens == ("[P]", " ", "a", "|")
    assert labels.blank == 0


@pytest.mark.parametrize(
    "content",
    [
        {"model": {}},
        {"model": {"vocab": 3}},
        {"model": {"vocab": {"a": "b"}}},
        {"model": {"vocab": [["a"]]}},
        {"model": {"vocab": {"a": 0}, "merges": [["a"]]}},
        {"model": {"vocab": {"a": 0}}, "added_tokens": [{}]},
        {"model": {"vocab": {"a": 0, "b": 1 << 70}}},
    ],
)
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, content: Any) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError):
        ctc_labels_of(tmp_path / "tokenizer.json", 2)


@pytest.mark.slow
def test_transformers_itself_joins_alike(tmp_path: Path) -> None:
    library = pytest.importorskip("transformers")
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "A": 5, "B": 6}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    for settings in ({}, {"do_lower_case": True}, {"word_delimiter_token": "A"}):
        made = library.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), **settings)
        made.save_pretrained(tmp_path / "saved")
        labels = ctc_labels_of(tmp_path / "saved", 7)
        assert labels.decode([6, 4, 5, 4, 6]) == made.decode([6, 0, 4, 5, 4, 6, 6])
