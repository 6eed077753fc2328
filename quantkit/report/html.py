"""Building blocks of report pages: the document, tables and figures as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from quantkit.report.plotting import MODEL_COLOURS, Plot
from quantkit.report.style import STYLE
from quantkit.report.table import Table

Cell = Callable[[Sequence[str], int], str]


def document(
    *, title: str, heading: str, subtitle: str, navigation: str, body: str, footer: str, style: str
) -> str:
    """A self-contained page: no network, no script, no other file.

    Args:
        title, heading, subtitle, footer: text.
        navigation, body: HTML.
        style: CSS in addition to that of all pages.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        f"<header><div><h1>{escape(heading)}</h1>"
        f'<p class="muted">{escape(subtitle)}</p><nav>{navigation}</nav></div></header>'
        f"\n<main>\n{body}"
        f"<footer>{escape(footer)}</footer>\n</main>\n</body>\n</html>\n"
    )


def navigation_to(sections: Iterable[tuple[str, str]]) -> str:
    """Links to sections, given as (id, label)."""
    return "".join(f'<a href="#{anchor}">{escape(label)}</a>' for anchor, label in sections)


def text_cell(row: Sequence[str], index: int) -> str:
    """The cell as escaped text."""
    return escape(row[index])


def table_html(table: Table, cell: Cell = text_cell) -> str:
    """A table with its caption; wide ones scroll horizontally.

    Args:
        cell: returns the HTML of one cell from its row and position.
    """
    head = "".join(
        f'<th scope="col"{_class(table, i)}>{escape(column)}</th>'
        for i, column in enumerate(table.columns)
    )
    rows = []
    for row in table.rows:
        cells = [f'<th scope="row"{_class(table, 0)}>{cell(row, 0)}</th>']
        cells += [f"<td{_class(table, i)}>{cell(row, i)}</td>" for i in range(1, len(row))]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="caption">{escape(table.caption)}</p>\n'
    )


def chip(colour: str) -> str:
    """A dot in a colour of the style sheet, such as ``model-0``."""
    return f'<span class="chip" style="--colour: var(--{colour})"></span>'


def model_chip(index: int) -> str:
    """A dot in the plot colour of the ``index``-th model."""
    return chip(f"model-{index % MODEL_COLOURS}")


def card(heading: str, figure: str, lines: Sequence[str]) -> str:
    """One figure with what it means, as text."""
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return (
        f'<div class="card"><h3>{escape(heading)}</h3>'
        f'<p class="figure">{escape(figure)}</p>{text}</div>'
    )


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """A legend of (colour, text) entries."""
    spots = (f"<span>{chip(colour)}{escape(text)}</span>" for colour, text in entries)
    return f'<div class="legend">{"".join(spots)}</div>'


def figures_html(plots: Sequence[Plot]) -> str:
    """Plots side by side; wide ones take a whole row."""
    figures = "".join(
        f'<figure class="{"wide" if plot.wide else "plot"}"><h3>{escape(plot.title)}</h3>'
        f"{plot.svg}<figcaption>{escape(plot.caption)}</figcaption></figure>\n"
        for plot in plots
    )
    return f'<div class="plots">{figures}</div>\n'


def _class(table: Table, index: int) -> str:
    if table.columns[index] == "95 %":
        return ' class="interval"'
    if index in table.text_columns:
        return ' class="text wrap"' if index else ' class="text"'
    return ""
