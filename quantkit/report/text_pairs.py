"""Two texts beside each other, with what is different marked."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal

import Levenshtein

Kind = Literal["same", "changed", "only"]


def differences(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> tuple[list[tuple[str, Kind]], list[tuple[str, Kind]]]:
    """Both sides of a shortest alignment in pieces.

    Args:
        reference, hypothesis: characters, or labels that end in their separator.

    Returns:
        pieces of the reference and of the hypothesis: ``same``, ``changed`` for substitutions,
            ``only`` for units missing on the other side.
    """
    left: list[tuple[str, Kind]] = []
    right: list[tuple[str, Kind]] = []
    for kind, i0, i1, j0, j1 in Levenshtein.opcodes(reference, hypothesis):
        mark: Kind = "same" if kind == "equal" else "changed" if kind == "replace" else "only"
        if i1 > i0:
            left.append(("".join(reference[i0:i1]), mark))
        if j1 > j0:
            right.append(("".join(hypothesis[j0:j1]), mark))
    return left, right


def marked(pieces: Sequence[tuple[str, Kind]]) -> str:
    """Pieces of one side as HTML."""
    if not pieces:
        return '<span class="muted">(nothing)</span>'
    return "".join(
        escape(text) if kind == "same" else f'<mark class="{kind}">{escape(text)}</mark>'
        for text, kind in pieces
    )


def pair_html(rows: Sequence[tuple[str, str]]) -> str:
    """Named texts, given as (name, HTML), one below the other."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{text}</dd>" for name, text in rows)
    return f'<dl class="pair">{lines}</dl>'


#: What the marks of :func:`examples_html` mean, as HTML.
MARKS = (
    "<mark>Changed</mark> characters replace one another; "
    '<mark class="only">these</mark> are missing on the other side.'
)


def examples_html(pairs: Sequence[tuple[str, str, str]]) -> str:
    """Texts of the float and of the quantized model beside each other.

    Args:
        pairs: name of the clip, text of the float model, text of the file.
    """
    shown = "".join(
        f'<div class="utterance"><div class="id">{escape(clip)}</div>'
        + pair_html([("float32", marked(left)), ("file", marked(right))])
        + "</div>"
        for clip, before, after in pairs
        for left, right in (differences([*before], [*after]),)
    )
    return f'<div class="card examples">{shown}</div>'
