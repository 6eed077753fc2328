"""Write the Pareto front to a file: a table, JSON, or a plot, by its suffix."""

from __future__ import annotations

from pathlib import Path

from quantkit.disk.files import write_json, write_text
from quantkit.errors import InputError
from quantkit.planning.pareto import Front

_TABLES = (".tsv", ".md", ".json")
_PLOTS = (".png", ".svg", ".pdf")

#: What names of fronts end in.
FORMS = (*_TABLES, *_PLOTS)


def require_front_form(path: Path) -> None:
    """Refuse a name that :func:`write_front` cannot write to.

    Raises:
        InputError: an unknown suffix.
    """
    if path.suffix.lower() not in FORMS:
        raise InputError(
            f"cannot write the front as {path.name}: choose a name that ends in {', '.join(FORMS)}"
        )


def write_front(front: Front, path: Path) -> None:
    """Write the front in the format of the suffix of ``path``: a table, JSON, or a plot.

    Raises:
        InputError: see :func:`require_front_form`.
        OutputError: ``path`` cannot be written.
    """
    require_front_form(path)
    header, rows = front.rows()
    suffix = path.suffix.lower()
    if suffix == ".json":
        write_json(path, front.to_json())
    elif suffix == ".tsv":
        write_text(path, "".join("\t".join(row) + "\n" for row in [header, *rows]))
    elif suffix == ".md":
        ruled = [header, ["---:"] * len(header), *rows]
        write_text(path, "".join(f"| {' | '.join(row)} |\n" for row in ruled))
    else:
        # Imported only for plots, because matplotlib loads slowly.
        from quantkit.planning.pareto_plot import front_figure
        from quantkit.report.plotting import save_figure

        save_figure(front_figure(front), path)
