"""``fleet.html``: the run on one page, without network, script or other files."""

from __future__ import annotations

from html import escape

from quantkit.fleets.result import FleetResult
from quantkit.fleets.tables import budget_table, failure_table, user_table
from quantkit.report import formatting as f
from quantkit.report.html import card, document, navigation_to, table_html
from quantkit.version import __version__

_READING = (
    "<b>Divergence</b> is the Kullback–Leibler divergence of an artifact's probabilities from "
    "those of the float32 model, on the clips that it was made for, in nats per frame, token or "
    "clip. Brackets hold the mean on other audio of this kind with 95 % confidence.",
    "<b>Changed</b> is the share of the words, or of what else is counted, in which the text of "
    "the artifact differs from that of float32. No transcript is needed, and it does not say which "
    "of the two is right.",
    "<b>made</b> artifacts are of this run, <b>kept</b> ones were there and undamaged, "
    "<b>failed</b> ones could not be made, and <b>open</b> ones were not reached. The same command "
    "makes what is missing.",
)
_STYLE = """
.wrap { overflow-wrap: anywhere; min-width: 16em; }
.card .figure { font-size: 1.45rem; font-weight: 650; line-height: 1.3; }
"""


def render_page(result: FleetResult) -> str:
    """The page as HTML."""
    tables = [
        ("failed", failure_table(result)),
        ("budgets", budget_table(result)),
        ("artifacts", user_table(result)),
    ]
    sections = [
        (anchor, table.title, f'<h2 id="{anchor}">{escape(table.title)}</h2>{table_html(table)}')
        for anchor, table in tables
        if table is not None
    ]
    items = "".join(f"<li>{text}</li>" for text in _READING)
    sections.append(
        ("reading", "How to read it", f'<h2 id="reading">How to read it</h2><ul>{items}</ul>')
    )
    links = [("glance", "At a glance"), *((anchor, label) for anchor, label, _ in sections)]
    return document(
        title=f"quantkit: a fleet of {result.model}",
        heading=f"{result.model}: {result.users:,} users",
        subtitle=f"Artifacts in {result.place}",
        navigation=navigation_to(links),
        body=_glance(result) + "".join(body for _, _, body in sections),
        footer=f"Made by quantkit {__version__}.",
        style=_STYLE,
    )


def _glance(result: FleetResult) -> str:
    counts = result.counts
    done = counts["made"] + counts["kept"]
    missing = counts["failed"] + counts["open"]
    lines = [f"{counts['made']:,} made in this run, {counts['kept']:,} kept from earlier ones."]
    lines.append("Nothing is missing." if not missing else f"{missing:,} are missing.")
    cards = [
        card("Artifacts", f"{done:,} of {len(result.rows):,}", lines),
        card(
            "Size",
            f"{f.megabytes(result.size_bytes)} MB",
            [f"Float32 has {f.megabytes(result.source_bytes)} MB for each user."],
        ),
    ]
    limits = result.tolerances
    if limits.divergence is not None or limits.changed is not None:
        asked = [
            f"divergence up to {f.significant(limits.divergence)}"
            if limits.divergence is not None
            else "",
            f"up to {f.percent(limits.changed)} % changed" if limits.changed is not None else "",
        ]
        words = " and ".join(filter(None, asked))
        over = counts["over"]
        passing = f"{over:,} {'is' if over == 1 else 'are'} over" if over else "none is over"
        cards.append(card("Gate", passing, [f"Asked for: {words}."]))
    cards.append(
        card("Time", f.duration(result.seconds), [f"Of this run, engine: {result.engine}."])
    )
    notes = "".join(f"<li>{escape(warning)}</li>" for warning in result.warnings)
    notes = f'<ul class="notes">{notes}</ul>' if notes else ""
    return f'<h2 id="glance">At a glance</h2><div class="cards">{"".join(cards)}</div>{notes}\n'
