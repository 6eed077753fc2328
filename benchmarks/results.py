"""RESULTS.md: one section per study, each replaced as a whole when its script is run again."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from quantkit.disk.files import write_text

RESULTS = Path(__file__).parent / "RESULTS.md"

_HEADER = """# Results of the studies in this folder

Each section is written by the script that it names; run it again to renew it. Speeds are ratios
within one process; absolute times hold for the stated host only.
"""


def replace_section(name: str, content: str, path: Path = RESULTS) -> None:
    """Put ``content`` between the markers of section ``name``, at the end if it is new.

    Args:
        name: letters, digits and hyphens; by custom the script's name without ``.py``.
        content: Markdown, with its heading.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = f"{begin}\n{content.strip()}\n{end}"
    text = path.read_text(encoding="utf-8") if path.exists() else _HEADER
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: section, text)
    else:
        text = text.rstrip("\n") + f"\n\n{section}\n"
    write_text(path, text)


def tables_in(name: str, path: Path = RESULTS) -> list[dict[str, list[str]]]:
    """The rows of each table of section ``name`` by their first cell, headers among them.

    A script that measures some models alone leaves the rows of the others as they are.
    """
    text = path.read_text(encoding="utf-8")
    section = text.partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]
    tables: list[dict[str, list[str]]] = []
    before = ""
    for line in section.splitlines():
        if line.startswith("| "):
            if not before.startswith("|"):
                tables.append({})
            cells = [cell.strip() for cell in line.strip("| ").split("|")]
            tables[-1][cells[0]] = cells
        before = line
    return tables


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def host() -> str:
    """One line that says where absolute times were taken."""
    model, flags = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
            model = found[1]
        if found := re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE):
            present = found[1].split()
            wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
            flags = ", ".join(flag for flag in wanted if flag in present)
    return f"{model} ({flags or 'no AVX'}), ONNX Runtime {onnxruntime.__version__}"
