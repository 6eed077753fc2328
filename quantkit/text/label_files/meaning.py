"""From the names in a file to the labels of a CTC model: the blank, the space, what is printed."""

from __future__ import annotations

from collections.abc import Sequence

from quantkit.errors import InputError
from quantkit.text.label_files.spelling import (
    are_units,
    is_special,
    space_of,
    spelling_of,
    text_of,
)
from quantkit.text.label_files.table import LabelTable
from quantkit.text.labels import Labels
from quantkit.text.segmentation import Segmentation

#: Names of the CTC blank, the more certain ones first.
BLANKS = (
    "<blank>",
    "<blk>",
    "<BLANK>",
    "<BLK>",
    "[blank]",
    "[BLANK]",
    "<ctc>",
    "<ctc_blank>",
    "<eps>",
    "<epsilon>",
    "<pad>",
    "<PAD>",
    "[PAD]",
    "_",
)


def labels_of_table(table: LabelTable, outputs: int, blank: int | None = None) -> Labels:
    """The labels of a CTC model with so many outputs.

    Args:
        blank: index of the blank, where no name shows it.

    Raises:
        InputError: the number of labels is not that of the outputs, or it stays unclear which one
            is the blank.
    """
    if blank is not None and not 0 <= blank < outputs:
        raise InputError(f"there is no output {blank}: the model has {outputs}")
    names, place = _with_blank(table, outputs, blank)
    mute = {place} | {
        i
        for i, name in enumerate(names)
        if name in table.silent or (is_special(name) and name != table.space)
    }
    others = [*names[:place], *names[place + 1 :]]
    space = table.space if table.space is not None else space_of(others)
    mute.discard(names.index(space) if space in names and names.index(space) != place else -1)
    printed = [name for i, name in enumerate(names) if i not in mute]
    spelling = table.spelling or spelling_of(printed)
    if spelling == "letters":
        texts = [" " if name == space else name for name in names]
    else:
        texts = [name if i in mute else text_of(name, spelling) for i, name in enumerate(names)]
    if table.lower and len({text.lower() for text in texts}) == len(texts):
        texts = [text if i in mute else text.lower() for i, text in enumerate(texts)]
    separator = table.separator
    if separator is None:
        separator = " " if spelling == "letters" and not space and are_units(printed) else ""
    silent = tuple(sorted(mute - {place}))
    # Tokenizers with a delimiter of their own may have a space as well.
    alike = table.alike or _only_spaces_repeat(texts)
    try:
        return Labels(tuple(texts), place, separator, silent, _segmentation(table, names), alike)
    except InputError as error:
        raise InputError(f"labels {table.origin}: {error}") from error


def _only_spaces_repeat(texts: Sequence[str]) -> bool:
    others = [text for text in texts if text != " "]
    return texts.count(" ") > 1 and len({*others}) == len(others)


def _with_blank(table: LabelTable, outputs: int, blank: int | None) -> tuple[list[str], int]:
    """The names of all outputs, and which is the blank."""
    names = [*table.names]
    beyond = names[outputs:]
    # Tokenizers have further tokens, and decoding graphs further symbols, without an output.
    if beyond and all(is_special(name) or name in table.silent for name in beyond):
        names = names[:outputs]
    if len(names) == outputs - 1 and (blank is not None or table.blank_is_last):
        place = outputs - 1 if blank is None else blank
        names.insert(place, next(name for name in BLANKS if name not in names))
        return names, place
    if len(names) == outputs - 1 and _named_blank(table, names) is None:
        raise InputError(
            f"labels {table.origin} name {len(names)} outputs, but the model has {outputs}: if the "
            f"CTC blank is the one that they leave out, say where it is: --blank 0, or --blank "
            f"{outputs - 1} for the last, as NeMo has it"
        )
    if len(names) != outputs:
        raise InputError(
            f"labels {table.origin} name {len(names)} outputs, but the model has {outputs}; give "
            "the labels that it was trained with"
        )
    if blank is None:
        blank = _named_blank(table, names)
    if blank is None:
        raise InputError(
            f"labels {table.origin} have no blank ({', '.join(BLANKS)}): give its index with "
            "--blank"
        )
    return names, blank


def _named_blank(table: LabelTable, names: Sequence[str]) -> int | None:
    if table.blank is not None and table.blank in names:
        return names.index(table.blank)
    found = next((name for name in BLANKS if name in names), None)
    if found is not None:
        return names.index(found)
    # Of torchaudio: ("-", "|", "E", "T", …).
    return 0 if names[0] == "-" and "|" in names else None


def _segmentation(table: LabelTable, names: Sequence[str]) -> Segmentation | None:
    """How the tokenizer cuts a text, in the numbers of the outputs."""
    place = {name: i for i, name in enumerate(names)}
    if table.merges:
        numbers = [place.get(name, -1) for name in table.names]
        pairs = [(numbers[a], numbers[b]) for a, b in table.merges]
        return Segmentation("merges", merges=tuple(pair for pair in pairs if -1 not in pair))
    if not table.scores:
        return None
    scores = dict(zip(table.names, table.scores, strict=True))
    rounded = tuple(float(f"{scores.get(name, 0.0):.7g}") for name in names)
    return Segmentation(table.method, rounded)
