"""What the site has beside the pages in ``docs``, and how it reads their Markdown.

The pages are written to be read in the repository, too: README, results, changelog, contributing
and the cards of models become pages of the site where they lie; links follow them there, and links
to source files become plain text. The pages of commands and of the Python interface are made from
the code.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import quantkit
from quantkit.cli import group

ROOT = Path(__file__).resolve().parents[2]
#: Pages of the site that lie elsewhere in the repository.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "results.md",
    "calibration_data/README.md": "shipped/calibration_data.md",
    **{
        f"models/{card.parent.name}/README.md": f"shipped/{card.parent.name}.md"
        for card in sorted((ROOT / "models").glob("*/README.md"))
    },
}
PLOTS = "benchmarks/plots"

_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
# Code is skipped; a text in brackets may have brackets in it.
_LINK = re.compile(
    r"(?P<code>`[^`]*`)|(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<to>[^()\s]+)\)"
)
_ITEM = re.compile(r" *(?:[-*]|\d+\.) ")
_WIDTH = 88


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that lie elsewhere, and those that are made from the code."""
    for source, target in ELSEWHERE.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    for plot in sorted((ROOT / PLOTS).glob("*.svg")):
        target = f"plots/{plot.name}"
        files.append(File.generated(config, target, abs_src_path=str(plot)))
    files.append(File.generated(config, "commands.md", content="\n".join(_commands())))
    files.append(File.generated(config, "api.md", content="\n".join(_interface())))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site has them, and lists as this Markdown wants them."""
    source = source_of(page.file.src_uri)
    made, end = [], 0
    for fence in _FENCE.finditer(markdown):
        made += [readable(markdown[end : fence.start()], source), fence[0]]
        end = fence.end()
    return "".join([*made, readable(markdown[end:], source)])


def source_of(page: str) -> str:
    """Path in the repository of a page of the site."""
    return next((key for key, value in ELSEWHERE.items() if value == page), f"docs/{page}")


def page_of(source: str) -> str:
    """Path in the site of a file of the repository; empty where it has none."""
    if source in ELSEWHERE:
        return ELSEWHERE[source]
    if source.startswith(PLOTS):
        return f"plots/{posixpath.basename(source)}"
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    # The folder of a model stands for its card.
    return ELSEWHERE.get(f"{source}/README.md", "")


def readable(markdown: str, source: str) -> str:
    """Markdown without fences, of the repository's file ``source``."""
    return spaced_lists(_LINK.sub(lambda link: _followed(link, source), markdown))


def spaced_lists(markdown: str) -> str:
    """A list may follow a paragraph without a blank line, and is indented by two spaces."""
    lines: list[str] = []
    for line in markdown.split("\n"):
        before = lines[-1] if lines else ""
        starts = _ITEM.match(line) is not None
        if starts and not line.startswith(" ") and before.strip():
            inside = _ITEM.match(before) or before.startswith(" ")
            if not inside:
                lines.append("")
        if starts and line.startswith("  ") and not line.startswith("    "):
            line = "  " + line
        lines.append(line)
    return "\n".join(lines)


def _followed(link: re.Match[str], source: str) -> str:
    to = link["to"]
    if link["code"] or to.startswith(("#", "http://", "https://", "mailto:")):
        return link[0]
    path, mark, anchor = to.partition("#")
    found = page_of(posixpath.normpath(posixpath.join(posixpath.dirname(source), path)))
    if not found:
        return link["text"]
    here = posixpath.dirname(page_of(source))
    return f"{link['image']}[{link['text']}]({posixpath.relpath(found, here or '.')}{mark}{anchor})"


def _commands() -> Iterator[str]:
    yield "# Commands\n\nWhat `quantkit COMMAND --help` prints."
    whole = click.Context(group, info_name="quantkit", terminal_width=_WIDTH)
    for name in group.list_commands(whole):
        command = group.get_command(whole, name)
        assert command is not None
        context = click.Context(command, parent=whole, info_name=name, terminal_width=_WIDTH)
        yield f"\n## {name}\n\n```text\n{command.get_help(context).strip()}\n```"


def _interface() -> Iterator[str]:
    yield "# The Python interface\n\nWhat `import quantkit` offers; [how it is used](python.md)."
    names = [(name, home) for home, all_of in quantkit._HOMES.items() for name in all_of]
    for title in ("Verbs", "Results and settings", "Errors"):
        yield f"\n## {title}\n"
        members = [each for each in names if _title(*each) == title]
        for name, home in sorted(members, key=lambda member: member[0].lower()):
            yield f"::: {home}.{name}\n    options:\n      heading_level: 3\n"


def _title(name: str, home: str) -> str:
    if home == "quantkit.errors":
        return "Errors"
    return "Verbs" if name.islower() else "Results and settings"
