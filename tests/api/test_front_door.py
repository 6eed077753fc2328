"""``import quantkit``: light, and all that a person calls."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import quantkit
from quantkit import _HOMES

VERBS = (
    "analyze",
    "bench",
    "export",
    "finetune",
    "fleet",
    "gate",
    "inspect",
    "load",
    "personalize",
    "plan",
    "pull",
    "push",
    "quantize",
    "ship",
    "train",
    "unpack",
    "verify",
)
PACKAGE = Path(quantkit.__file__).parent


def in_new_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_importing_takes_less_than_a_fifth_of_a_second_of_the_processor() -> None:
    # Wall time is other programs' too; the best of a few runs is what the import itself takes.
    code = "import time; t = time.process_time(); import quantkit; print(time.process_time() - t)"
    assert min(float(in_new_process(code)) for _ in range(3)) < 0.2


def test_importing_brings_in_no_library() -> None:
    found = in_new_process("import sys, json, quantkit; print(json.dumps(sorted(sys.modules)))")
    heavy = {"torch", "matplotlib", "numpy", "onnx", "onnxruntime", "scipy", "soundfile", "click"}
    assert not heavy & set(json.loads(found))


@pytest.mark.slow
def test_no_verb_needs_torch_or_matplotlib_before_it_is_called() -> None:
    code = f"import sys, quantkit; [getattr(quantkit, verb) for verb in {VERBS}]; "
    found = in_new_process(code + "print('torch' in sys.modules, 'matplotlib' in sys.modules)")
    assert found.split() == ["False", "False"]


def test_verbs_are_functions_and_no_folder_hides_them() -> None:
    folders = {path.stem for path in PACKAGE.iterdir()}
    assert not folders & set(VERBS)
    assert all(callable(getattr(quantkit, verb)) for verb in VERBS)


def test_every_public_name_is_there_and_listed() -> None:
    for name in (name for names in _HOMES.values() for name in names):
        assert getattr(quantkit, name).__name__ == name
        assert name in dir(quantkit)


def test_type_checkers_see_what_is_imported_late() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen: dict[str, list[str]] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        assert node.module is not None
        seen.setdefault(node.module, []).extend(alias.name for alias in node.names)
    assert {module: sorted(names) for module, names in seen.items()} == {
        module: sorted(names) for module, names in _HOMES.items()
    }


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'quantkit' has no attribute 'quantise'"):
        quantkit.quantise  # noqa: B018


@pytest.mark.parametrize("name", [name for names in _HOMES.values() for name in names])
def test_everything_public_says_what_it_is(name: str) -> None:
    assert (getattr(quantkit, name).__doc__ or "").strip()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_takes_and_raises(verb: str) -> None:
    text = getattr(quantkit, verb).__doc__
    assert ">>> " in text
    assert "Args:\n" in text
    assert "Raises:\n" in text


# Functions that draw what a verb returned; a command prints with them.
_VIEWS = (
    "quantkit.report.",
    "quantkit.benchmarking.tables",
    "quantkit.explanation.tables",
    "quantkit.personalization.summary",
    "quantkit.slices.tables",
    "quantkit.printable",
    "quantkit.fleets.tables",
)


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_the_command_line_calls_only_the_front_door(path: Path) -> None:
    """Of what lies below, a command knows types and constants, which begin with a capital."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("quantkit."):
            continue
        if node.module.startswith(("quantkit.cli", "quantkit.api", *_VIEWS)):
            continue
        called = [alias.name for alias in node.names if alias.name[0].islower()]
        assert called in ([], ["gate_report"]), f"{path.name} imports {called} of {node.module}"
