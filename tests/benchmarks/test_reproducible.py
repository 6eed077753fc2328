"""What is compared byte by byte, and in which ways it is made again."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

from benchmarks.reproducible import Step, Way, compared, digest, steps, ways


def test_steps_find_in_the_reference_what_they_take() -> None:
    made: set[str] = set()
    for step in steps():
        taken = {each for each in step.arguments if each.startswith("{REF}/")}
        assert taken <= {"{REF}/" + name for name in made}
        made.add(step.makes)


def test_the_digest_of_a_folder_covers_names_and_contents(tmp_path: Path) -> None:
    for name, files in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {"y": "1"}), ("d", {"x": "2"})):
        for file, content in files.items():
            (tmp_path / name / "sub").mkdir(parents=True)
            (tmp_path / name / "sub" / file).write_text(content)
    a, b, c, d = (digest(tmp_path / name) for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3
    assert digest(tmp_path / "none") == ""


def test_a_python_with_other_libraries_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 3.12.0 1 1 1 1\n")
    other.chmod(0o755)
    with pytest.raises(click.ClickException, match="and this Python"):
        list(ways([str(other)]))
    with pytest.raises(click.ClickException, match="does not run"):
        list(ways([str(tmp_path / "none")]))


def test_other_bytes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"one": "1", "two": "1", "three": "2"}
    monkeypatch.setattr("benchmarks.reproducible.run", lambda step, way, out, ref: found[way.name])
    rows = compared([Step("s", (), "s")], [Way(name) for name in found], tmp_path)
    assert rows == [["s", "same", "DIFFERENT"]]


def test_what_needs_pytorch_is_left_out_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.reproducible.run", lambda *_: "1")
    monkeypatch.setattr("benchmarks.reproducible.has_torch", lambda python: python == "first")
    step = Step("s", (), "s", torch=True)
    rows = compared([step], [Way("one", "first"), Way("two", sys.executable)], tmp_path)
    assert rows == [["s", "–"]]
