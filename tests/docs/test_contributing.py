"""``CONTRIBUTING.md`` shows code that is there, and names files that are there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")

_EXAMPLE = re.compile(
    r"(?:<!-- from (?P<origin>\S+) -->\n)?```(?:python|toml)\n(?P<code>.*?)```", re.S
)
EXAMPLES = [(match["origin"], match["code"]) for match in _EXAMPLE.finditer(TEXT)]
#: ``NAME`` stands for the name of what is added.
FILES = sorted(
    {
        path
        for path in re.findall(r"[`(]((?:quantkit|tests|benchmarks|docs|\.ci)/[\w./-]*)[`)#]", TEXT)
        if "NAME" not in path
    }
)


def test_there_is_an_example_for_each_thing_that_can_be_added() -> None:
    headings = re.findall(r"^### (.*)$", TEXT, re.M)
    added = ["A codec", "A corpus layout", "A family of models", "A task", "An operator"]
    assert headings == [*added, "A planning method"]
    assert all("```python" in section for section in re.split(r"^### ", TEXT, flags=re.M)[1:])


@pytest.mark.parametrize(("origin", "code"), EXAMPLES, ids=[str(origin) for origin, _ in EXAMPLES])
def test_examples_are_parts_of_files(origin: str | None, code: str) -> None:
    assert origin is not None
    assert code in (REPOSITORY / origin).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES)
def test_files_are_there(path: str) -> None:
    assert (REPOSITORY / path).exists()


def test_links_within_the_page_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", TEXT, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_commands_of_the_makefile_are_there() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.M))
    named = set(re.findall(r"(?:^|`)make (\w+)", TEXT, re.M))
    assert {"setup", "check", "test"} <= named <= targets


def test_what_tests_need_is_installed_by_the_extra_dev() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=;\[ ]", each)[0] for each in project["optional-dependencies"]["dev"]}
    assert {"pytest", "pytest-cov", "pytest-xdist", "filelock", "hypothesis"} <= names
