"""Sections of RESULTS.md are replaced, and the rest stays."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def results():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "results.py"
    spec = importlib.util.spec_from_file_location("results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sections_are_added_and_replaced(results, tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    results.replace_section("one", "## One\nfirst", path)
    results.replace_section("two", "## Two", path)
    results.replace_section("one", r"## One\1 again", path)
    text = path.read_text()
    assert "first" not in text
    assert text.index(r"## One\1 again") < text.index("## Two")
    assert text.count("<!-- begin one -->") == text.count("<!-- end one -->") == 1
    assert text.startswith("# Results")


def test_table(results) -> None:
    assert results.table(["a", "b"], [["x", "1"]]) == "| a | b |\n|---|---:|\n| x | 1 |"


def test_rows_of_a_section_come_back_by_their_first_cell(results, tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    first = results.table(["model", "WER"], [["one, float32", "1.0 %"], ["two", "2.0 %"]])
    second = results.table(["model", "MB"], [["two", "3"]])
    results.replace_section("mine", f"## Mine\n\n{first}\n\ntext\n\n{second}", path)
    results.replace_section("other", results.table(["model"], [["three"]]), path)
    assert results.tables_in("mine", path) == [
        {
            "model": ["model", "WER"],
            "one, float32": ["one, float32", "1.0 %"],
            "two": ["two", "2.0 %"],
        },
        {"model": ["model", "MB"], "two": ["two", "3"]},
    ]
    assert results.tables_in("nothing", path) == []


def test_host_names_the_runtime(results) -> None:
    assert "ONNX Runtime" in results.host()
