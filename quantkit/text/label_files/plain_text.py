"""Labels in lines of text: a name, a name and its number, or a piece and its score."""

from __future__ import annotations

import codecs
import re
from ast import literal_eval
from itertools import takewhile

from quantkit.errors import InputError
from quantkit.text.label_files.table import LabelTable, ordered

# Longer marks first: that of UTF-16 is the beginning of that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Other characters that end a line in Python are labels of some vocabularies.
_LINE_END = re.compile(r"\r\n|\n|\r")
# A symbol that is a space leaves nothing, or a space, in front of its number.
_NUMBERED = re.compile(r"(.*?)[ \t]+([0-9]{1,9})[ \t]*")
_QUOTED = re.compile(r"""('[^']{1,80}'|"[^"]{1,80}") => ([0-9]{1,9})""")
_NUMBER_FIRST = re.compile(r"([0-9]{1,9})(?:[ \t](.*))?")
_COMMA = re.compile(r"(.+),([0-9]{1,9})[ \t]*")
_SCORED = re.compile(r"(.+)\t(-?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)")
_COMMENT = re.compile(r"#[ \t]+[^ \t]+[ \t]")
_LONGEST_LINE = 1000
_FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")


def decoded(content: bytes, origin: str) -> str:
    """The text of a file in UTF-8, or in the encoding that its byte-order mark names.

    Raises:
        InputError: it is neither.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    if not encoding:
        # Of text in UTF-16, every other byte is zero, and no text in UTF-8 has one.
        start = content[:512]
        encoding = "utf-8"
        if b"\0" in start:
            encoding = "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"labels {origin} are not UTF-8 text") from error


def lines_of(text: str) -> list[str]:
    """Lines without their ends; empty ones at the end of the file are left out."""
    lines = [_without_spaces_behind(line) for line in _LINE_END.split(text)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _without_spaces_behind(line: str) -> str:
    """Editors leave spaces at the end of lines; a line of nothing else is a label."""
    return line.rstrip(" \t") or line


def table_of_lines(text: str, origin: str) -> LabelTable:
    """The labels of a text, whichever of the forms its lines have.

    Raises:
        InputError: no labels, an empty line, or numbers that skip some.
    """
    lines = lines_of(text)
    # Comments of alphabet.txt, as DeepSpeech and its successors have it.
    while len(lines) > 1 and _COMMENT.match(lines[0]):
        lines.pop(0)
    if not lines:
        raise InputError(f"labels {origin} are empty: write one per line")
    if max(map(len, lines)) > _LONGEST_LINE:
        raise InputError(f"labels {origin} have a line that is longer than any label")
    return (
        _numbered(lines, origin)
        or _quoted(lines, origin)
        or _number_first(lines, origin)
        or _with_commas(lines, origin)
        or _scored(lines, origin)
        or _listed(lines, origin)
    )


def _numbered(lines: list[str], origin: str) -> LabelTable | None:
    """``symbol id``, as Kaldi, icefall, sherpa, WeNet and onnx-asr have it."""
    found = [_NUMBERED.fullmatch(line) for line in lines if line]
    pairs = [(match[1].strip(" \t") or " ", int(match[2])) for match in found if match]
    symbols, numbers = [symbol for symbol, _ in pairs], [number for _, number in pairs]
    if len(pairs) != len(found) or len(pairs) < 2:
        return None
    if len({*symbols}) < len(symbols):
        # Names of several words may end in a number, too.
        if {*numbers} != {*range(len(pairs))} or 2 * len({*symbols}) <= len(symbols):
            return None
        twice = next(symbol for symbol in symbols if symbols.count(symbol) > 1)
        raise InputError(f"labels {origin} give several numbers to {twice!r}")
    if numbers[-1] > 0 and numbers == sorted(numbers, reverse=True) and numbers[0] > len(pairs):
        # How often each symbol occurs, as fairseq has it: its number is that of the line.
        return LabelTable((*_FAIRSEQ, *symbols), origin, blank="<s>")
    if {*numbers} == {*range(1, len(pairs) + 1)} and "<blank>" not in symbols:
        # Older ESPnet leaves the number 0 to the blank.
        pairs = [("<blank>", 0), *pairs]
    return LabelTable(tuple(ordered([(n, name) for name, n in pairs], origin)), origin)


def _quoted(lines: list[str], origin: str) -> LabelTable | None:
    """``'symbol' => id``, as SpeechBrain has it, with settings behind a line of its own."""
    listed = list(takewhile(lambda line: not line.startswith("===="), lines))
    found = [_QUOTED.fullmatch(line) for line in listed]
    if len(found) < 2 or not all(found):
        return None
    settings = dict(line.split(" => ", 1) for line in lines[len(listed) + 1 :] if " => " in line)
    blank = settings.get("'blank_label'")
    try:
        pairs = [(int(match[2]), str(literal_eval(match[1]))) for match in found if match]
        return LabelTable(
            tuple(ordered(pairs, origin)), origin, blank=str(literal_eval(blank)) if blank else None
        )
    except (ValueError, SyntaxError) as error:
        raise InputError(f"labels {origin}: a name is not quoted as Python quotes it") from error


def _with_commas(lines: list[str], origin: str) -> LabelTable | None:
    """``symbol,id``, a table of two columns, with their names above or without."""
    found = [_COMMA.fullmatch(line) for line in lines if line]
    found = found if found[0] else found[1:]
    pairs = [(int(match[2]), _unquoted(match[1])) for match in found if match]
    if len(pairs) != len(found) or {number for number, _ in pairs} != {*range(len(pairs))}:
        return None
    return LabelTable(tuple(ordered(pairs, origin)), origin) if len(pairs) > 1 else None


def _unquoted(field: str) -> str:
    if len(field) > 2 and field[0] == field[-1] == '"':
        return field[1:-1].replace('""', '"')
    return field


def _number_first(lines: list[str], origin: str) -> LabelTable | None:
    """``id symbol``; of a symbol that is a space, nothing may be left at the end of its line."""
    found = [_NUMBER_FIRST.fullmatch(line) for line in lines if line]
    pairs = [(int(match[1]), (match[2] or "").strip(" \t") or " ") for match in found if match]
    if [symbol for _, symbol in pairs].count(" ") > 1:
        return None
    if len(pairs) != len(found) or len(pairs) < 2:
        return None
    if {number for number, _ in pairs} != {*range(len(pairs))}:
        return None
    return LabelTable(tuple(ordered(pairs, origin)), origin)


def _scored(lines: list[str], origin: str) -> LabelTable | None:
    """``piece<TAB>score``, SentencePiece's ``.vocab``."""
    found = [_SCORED.fullmatch(line) for line in lines if line]
    if len(found) < 2 or not all(found):
        return None
    names = tuple(match[1] for match in found if match)
    scores = tuple(float(match[2]) for match in found if match)
    # Scores of byte-pair encoding count the merges, those of a unigram model are logarithms.
    method = "bpe" if all(score.is_integer() for score in scores) else "unigram"
    return LabelTable(names, origin, scores=scores, method="bpe" if method == "bpe" else "unigram")


def _listed(lines: list[str], origin: str) -> LabelTable:
    if "" in lines:
        raise InputError(
            f"labels {origin}: line {lines.index('') + 1} is empty; write <space> for a space, or "
            "<blank> for the CTC blank"
        )
    return LabelTable(tuple(lines), origin)
