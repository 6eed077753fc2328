"""``tokenizer.json``, in which the library ``tokenizers`` keeps vocabulary, merges and scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantkit.errors import InputError
from quantkit.text.label_files.table import LabelTable, Spelling, names_in_order

_SPELLINGS: dict[str, Spelling] = {
    "ByteLevel": "gpt2-bytes",
    "Metaspace": "sentencepiece",
    "WordPiece": "wordpiece",
    "BPEDecoder": "suffix",
    "CTC": "letters",
}


def table_of_tokenizer(content: dict[str, Any], origin: str) -> LabelTable:
    """The labels of a tokenizer; its special tokens are silent.

    Raises:
        InputError: it has no vocabulary, or skips a number.
    """
    try:
        return _table(content, origin)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"labels {origin} are not those of a tokenizer: {error!r}") from error


def _table(content: dict[str, Any], origin: str) -> LabelTable:
    model = content["model"]
    vocabulary = model["vocab"]
    scores: dict[str, float] = {}
    if isinstance(vocabulary, list):
        scores = {str(piece): float(score) for piece, score in vocabulary}
        numbers = {str(piece): i for i, (piece, _) in enumerate(vocabulary)}
    else:
        numbers = {str(name): _number(number, origin) for name, number in vocabulary.items()}
    added = [each for each in content.get("added_tokens") or () if isinstance(each, dict)]
    for each in added:
        numbers.setdefault(str(each["content"]), _number(each["id"], origin))
    names = names_in_order(numbers, origin)
    # Tokenizers without a decoder join with spaces what they would not cut apart either.
    decoders = {str(each.get("type")): each for each in _parts(content.get("decoder"))}
    spelling = next((_SPELLINGS[kind] for kind in decoders if kind in _SPELLINGS), None)
    if spelling is None and "Replace" in decoders:
        spelling = "sentencepiece" if any("▁" in name for name in names) else None
    ctc = decoders.get("CTC", {})
    place = {name: i for i, name in enumerate(names)}
    return LabelTable(
        tuple(_marked(name, decoders, model, spelling) for name in names),
        origin,
        blank=ctc.get("pad_token"),
        silent=frozenset(str(each["content"]) for each in added if each.get("special")),
        space=ctc.get("word_delimiter_token"),
        spelling=spelling,
        scores=tuple(scores.get(name, 0.0) for name in names) if scores else (),
        merges=tuple(
            (place[a], place[b])
            for a, b in map(_pair, model.get("merges") or ())
            if a in place and b in place
        ),
    )


def _marked(
    name: str, decoders: dict[str, Any], model: dict[str, Any], spelling: Spelling | None
) -> str:
    """``name`` with the usual marks in place of the tokenizer's own."""
    if spelling == "sentencepiece":
        own = decoders.get("Metaspace", {}).get("replacement") or "▁"
        return name.replace(own, "▁")
    if spelling == "wordpiece":
        own = decoders["WordPiece"].get("prefix") or "##"
        return f"##{name.removeprefix(own)}" if name.startswith(own) else name
    if spelling == "suffix":
        own = decoders["BPEDecoder"].get("suffix") or "</w>"
        return f"{name.removesuffix(own)}</w>" if name.endswith(own) else name
    return name


def _parts(decoder: Any) -> Iterator[dict[str, Any]]:
    if isinstance(decoder, dict):
        yield decoder
        for each in decoder.get("decoders") or ():
            yield from _parts(each)


def _pair(merge: Any) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return str(first), str(second)


def _number(value: object, origin: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise InputError(f"labels {origin} do not number their tokens")
    return value
