"""A gate's result for a CI viewer (JUnit XML), a pull request (Markdown) and a terminal."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from rich.text import Text

from quantkit.benchmarking.gate_result import KNOWN, Check, GateResult
from quantkit.disk.files import write_bytes, write_text
from quantkit.report.formatting import MISSING
from quantkit.report.terminal import Column, print_table

_TITLES = {
    "levenshtein": "edits per utterance",
    "wer": "word error rate",
    "changed": "text changed",
    "divergence": "divergence",
    "size_bytes": "file size",
    "speedup": "speed-up",
    KNOWN: "in the baseline",
}
_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}
_STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow"}

# XML 1.0 §2.2 forbids these even as character references.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(result: GateResult) -> bytes:
    """One ``testcase`` per check, in the JUnit dialect of Jenkins, GitLab and GitHub viewers.

    ``classname`` is ``quantkit.gate.<model>`` and ``name`` the criterion, with its slice, so that
    viewers keep the history of each check; the sentence that explains a check is its failure
    message.
    """
    skipped = [check for check in result.checks if check.verdict == "skipped"]
    counts = {
        "tests": str(len(result.checks)),
        "failures": str(len(result.failures)),
        "errors": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "quantkit gate", **counts})
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {"name": "quantkit gate", **counts, "skipped": str(len(skipped)), "time": "0"},
    )
    for check in result.checks:
        # A dot would start a new package in the viewers' tree.
        package = _xml_text(check.model).replace(".", "_")
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": f"quantkit.gate.{package}", "name": _xml_text(check.name), "time": "0"},
        )
        detail = _xml_text(check.detail)
        if check.verdict == "failed":
            failure = ElementTree.SubElement(
                case, "failure", {"type": "GateFailed", "message": detail}
            )
            failure.text = detail
        elif check.verdict == "skipped":
            ElementTree.SubElement(case, "skipped", {"message": detail})
        else:
            ElementTree.SubElement(case, "system-out").text = detail
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def markdown(result: GateResult) -> str:
    """The summary for a pull request or a CI job page."""
    lines = [
        f"## quantkit gate: {_headline(result)}",
        "",
        f"Corpus: {_cell(result.corpus) or 'unnamed'}, {result.utterances} utterances. "
        "Edit distance fails if the whole 95 % paired-bootstrap interval is above the limit."
        f"{_about_slices(result)}",
        "",
        f"| model | criterion | {_cell(_before(result))} | now | verdict | |",
        "|---|---|---:|---:|---|---|",
    ]
    for check in result.checks:
        verdict = _MARKS[check.verdict]
        lines.append(
            f"| {_cell(check.model)} | {_cell(_title(check))} "
            f"| {_value(check, check.baseline)} | {_value(check, check.current)} "
            f"| {f'**{verdict}**' if check.verdict == 'failed' else verdict} "
            f"| {_cell(check.detail)} |"
        )
    if result.ungated:
        names = ", ".join(_cell(name) for name in result.ungated)
        lines += ["", f"Not in the baseline, so not gated: {names} (`--update` adds them)."]
    return "\n".join(lines) + "\n"


def print_checks(result: GateResult) -> None:
    """The same for a terminal."""
    columns = (
        Column("model"),
        Column("criterion"),
        Column(_before(result), "right", importance=0),
        Column("now", "right", importance=1),
        Column("verdict"),
        # Why a check failed is what the table is read for.
        Column(""),
    )
    rows = [
        (
            check.model,
            _title(check),
            _value(check, check.baseline),
            _value(check, check.current),
            Text(_MARKS[check.verdict], style=_STYLES[check.verdict]),
            check.detail,
        )
        for check in result.checks
    ]
    caption = _about_slices(result).strip()
    print_table(columns, rows, title=f"gate: {_headline(result)}", caption=caption)


def write_junit(result: GateResult, destination: Path) -> None:
    """Write :func:`junit_xml` atomically."""
    write_bytes(destination, junit_xml(result))


def write_markdown(result: GateResult, destination: Path) -> None:
    """Write :func:`markdown` atomically."""
    write_text(destination, markdown(result))


def _headline(result: GateResult) -> str:
    skipped = sum(check.verdict == "skipped" for check in result.checks)
    parts = [f"{len(result.checks) - len(result.failures) - skipped} passed"]
    if result.failures:
        parts.insert(0, f"{len(result.failures)} FAILED")
    if skipped:
        parts.append(f"{skipped} skipped")
    return ", ".join(parts)


def _title(check: Check) -> str:
    return " · ".join(filter(None, (_TITLES[check.criterion], check.slice, check.corpus)))


def _before(result: GateResult) -> str:
    return result.against or "baseline"


def _about_slices(result: GateResult) -> str:
    if result.false_alarms is None:
        return ""
    return (
        f" Slices fail where none got worse in {100 * result.false_alarms:g} % of runs at most, "
        "all slices and models together."
    )


def _value(check: Check, value: float) -> str:
    if check.criterion == KNOWN or (check.verdict == "skipped" and not check.limit):
        return MISSING
    if check.criterion == "size_bytes":
        return f"{value / 1e6:.3f} MB"
    return f"{value:.2f}×" if check.criterion == "speedup" else f"{value:.3f}"


def _cell(text: str) -> str:
    """Text that cannot break out of its Markdown table cell."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _xml_text(text: str) -> str:
    return _NOT_XML.sub("�", text)
