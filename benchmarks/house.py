"""Is each piece of knowledge in one room? ``python -m benchmarks.house``.

1. Outside ``quantkit/tasks/`` no file names a task, compares one's name, or asks by ``isinstance``
   whether a model is a Whisper; the modules that run one may.
2. Outside ``quantkit/graph/operators/``, ``passes/``, ``codecs/``, ``conversion/`` and
   ``exporting/`` no file names an operator that layers are made of.
3. ``personalize`` opens the float model once.

A name is a string literal in the code; docstrings, comments and messages may say what they like.
Exceptions are listed below, each with its reason. The test of this file fails when a rule is
broken, and when an exception is no longer needed.
"""

from __future__ import annotations

import ast
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import click

from benchmarks.cells import ROOT
from quantkit.audio.corpora import open_corpus
from quantkit.calibration.data import Calibration
from quantkit.graph import model_file
from quantkit.graph.lazy import LazyModel, read_lazily
from quantkit.personalization.pipeline import personalize

PACKAGE = ROOT / "quantkit"
SHIPPED = ROOT / "build" / "wav2letter-en" / "float32.onnx"

TASKS = frozenset(
    (
        "ctc",
        "classification",
        "whisper",
        "keywords",
        "transducer",
        "moonshine",
        "canary",
        "asg",
        "streaming-ctc",
        "streaming-transducer",
    )
)
OPERATORS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "LSTM", "GRU"})

#: Folders, or files, in which the names are at home.
TASK_ROOMS = ("tasks/",)
#: Where a Whisper or a transducer is run: what is opened there is one, or it is refused.
RUNNING_ROOMS = ("runtime/whisper/", "runtime/transducer/")
OPERATOR_ROOMS = ("graph/operators/", "passes/", "codecs/", "conversion/", "exporting/")

#: Files that may name a task, and why.
TASK_EXCEPTIONS: Mapping[str, str] = {
    "bundles/profiles/merged.py": "`model_type` of a config.json, and what programs call a form",
    "bundles/profiles/sherpa_whisper.py": "what sherpa-onnx calls a form",
    "bundles/profiles/transducers.py": "what sherpa-onnx calls a form",
    "bundles/profiles/given_back.py": "what sherpa-onnx calls a form",
    "exporting/sources.py": "`model_type` of a config.json of transformers",
    "models/whisper/vocabulary_places.py": "the module of the package openai-whisper",
    "models/moonshine/checkpoint.py": "`model_type` of a config.json of transformers",
    "runtime/canary/settings.py": "a metadata entry",
    "runtime/moonshine/settings.py": "a metadata entry",
    "runtime/transducer/settings.py": "a metadata entry",
    "text/labels.py": "a key in the JSON of labels",
    "text/units.py": "a unit of bench.json",
    "text/whisper_vocabulary.py": "`kind` in the JSON of a vocabulary",
}
#: Files that may name an operator, and why.
OPERATOR_EXCEPTIONS: Mapping[str, str] = {
    "bundles/profiles/graphs.py": "gathers the scores of labels that are not printed",
    "bundles/profiles/merged_graphs.py": "gathers a size of a shape",
    "bundles/profiles/sherpa_whisper.py": "gathers a layer of a cache",
    "finetuning/operators.py": "computes each operator in PyTorch",
    "finetuning/recurrent.py": "likewise, those that are recurrent",
    "models/layers/transducer.py": "traces an LSTM as the operator that it becomes",
    "graph/translating.py": "takes the positions that are wanted",
    "graph/merged_decoder.py": "gathers the log-probabilities at some positions",
    "quantization/equalize/attention.py": "matches attention: a product of two activations",
    "quantization/kernels/embedding.py": "emits the look-ups of rows and of their scales",
    "quantization/kernels/emitter.py": "gathers the taps of windows",
    "quantization/kernels/integer_matmul.py": "lays a Conv's windows out for one product",
}


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Line and value of each string literal that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # A string that stands alone is a docstring.
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.lineno, node.value


def named(names: frozenset[str], rooms: tuple[str, ...]) -> dict[str, list[tuple[int, str]]]:
    """Where, outside the rooms, files of the package have one of the names as a literal."""
    found: dict[str, list[tuple[int, str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(rooms):
            continue
        if places := [(line, text) for line, text in literals(path) if text in names]:
            found[name] = places
    return found


def asks_for_a_task(node: ast.AST) -> bool:
    """Whether ``node`` compares a ``.task``, or asks by ``isinstance`` for a class of Whisper."""
    if isinstance(node, ast.Compare):
        sides = (node.left, *node.comparators)
        return any(isinstance(side, ast.Attribute) and side.attr == "task" for side in sides)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        return node.func.id == "isinstance" and any(name.startswith("Whisper") for name in names)
    return False


def asking_for_a_task() -> dict[str, list[int]]:
    """Lines, outside the rooms of tasks, that ask which task a model is of."""
    found: dict[str, list[int]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith((*TASK_ROOMS, *RUNNING_ROOMS)):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if lines := [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.expr) and asks_for_a_task(node)
        ]:
            found[name] = lines
    return found


def broken_rules() -> list[str]:
    """In words; empty when the house is in order."""
    broken = [
        f"quantkit/{file}:{line}: asks for a task"
        for file, lines in asking_for_a_task().items()
        for line in lines
    ]
    for names, rooms, exceptions in (
        (TASKS, TASK_ROOMS, TASK_EXCEPTIONS),
        (OPERATORS, OPERATOR_ROOMS, OPERATOR_EXCEPTIONS),
    ):
        found = named(names, rooms)
        broken += [
            f"quantkit/{file}:{line}: names {text!r}"
            for file, places in found.items()
            if file not in exceptions
            for line, text in places
        ]
        broken += [
            f"quantkit/{file}: is an exception, and names nothing"
            for file in exceptions
            if file not in found
        ]
    return broken


@contextmanager
def counted_openings() -> Iterator[Counter[Path]]:
    """How often each model file is opened inside the block."""
    found: Counter[Path] = Counter()

    def counting(path: Path) -> LazyModel:
        found[path.resolve()] += 1
        return read_lazily(path)

    with patch.object(model_file, "read_lazily", counting):
        yield found


def openings_of_personalize(source: Path, calibration: Calibration, budget_bytes: int) -> int:
    """How often one `personalize` opens the float model ``source``."""
    with tempfile.TemporaryDirectory() as folder, counted_openings() as found:
        personalize(source, Path(folder) / "user.onnx", calibration, budget_bytes)
    return found[source.resolve()]


@click.command()
@click.option("--model", type=click.Path(path_type=Path), default=SHIPPED, show_default=True)
def main(model: Path) -> None:
    """Print what is out of place, and fail if anything is."""
    broken = broken_rules()
    if not model.exists():
        raise click.ClickException(f"{model} is missing: run `make export` first")
    audio = open_corpus(ROOT / "calibration_data").select(split="calibration").sample(4)
    if (times := openings_of_personalize(model, audio, model.stat().st_size // 8)) != 1:
        broken.append(f"personalize opens {model} {times} times")
    for line in broken:
        click.echo(line)
    if broken:
        raise click.ClickException(f"{len(broken)} places name what is at home elsewhere")
    click.echo("tasks and operators are each named in their own rooms")
    click.echo("personalize opens the float model once")


if __name__ == "__main__":
    main()
