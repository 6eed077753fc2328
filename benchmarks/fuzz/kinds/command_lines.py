"""Command lines made of what commands declare: a result or one line; inputs stay as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, command
from benchmarks.fuzz.damage import ODD_NUMBERS, ODD_TEXTS
from quantkit.cli import group

_INPUTS = ("model.onnx", "quantized.onnx", "labels.txt", "clips", "bundle")
_DOCUMENTS = ("plan.json", "sensitivity.json", "bench.json", "baseline.json", "times.json")
# A log shows where an error happened; the others end before anything is read.
_LEFT_OUT = frozenset({"verbose", "help", "dump_config", "config"})


class CommandLines:
    """Options and values that fit, that nearly fit, and that do not."""

    name, share = "command-lines", 60

    def prepare(self, seeds: Path) -> None:
        """Nothing of its own: it takes what other kinds have made."""

    def run(self, case: Case) -> Answer:
        for name in _INPUTS:
            source = case.seeds / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, case.folder / name)
        for name in _DOCUMENTS:
            shutil.copy(case.seeds / "documents" / name, case.folder)
        os.mkfifo(case.folder / "pipe")
        before = _state(case.folder)
        arguments = _arguments(case)
        try:
            command(*arguments)
        except Refused:
            if changed := _difference(before, _state(case.folder)):
                raise WrongResult(f"refused, and {changed}: {arguments}") from None
            raise
        except WrongResult as wrong:
            raise WrongResult(f"{wrong} [{arguments}]") from None
        if "--dry-run" in arguments and (changed := _difference(before, _state(case.folder))):
            raise WrongResult(f"a dry run, and {changed}: {arguments}")
        return "right"


def _arguments(case: Case) -> list[str]:
    random = case.random
    context = click.Context(group)
    name = random.choice(group.list_commands(context))
    found = group.get_command(context, name)
    assert found is not None
    arguments = [name]
    for param in found.params:
        if str(param.name) in _LEFT_OUT:
            continue
        if isinstance(param, click.Option):
            wanted = 0.97 if param.required else 0.9 if param.name in ("audio", "dry_run") else 0.08
            if name == "train" and param.name == "dry_run":
                wanted = 1.0
            if random.random() > wanted:
                continue
            arguments.append(random.choice((*param.opts, *param.secondary_opts)))
            if param.is_flag or param.count:
                continue
            arguments += [_value(param, case) for _ in range(max(param.nargs, 1))]
        else:
            count = random.choice((0, 1, 1, 1, 2)) if param.nargs == -1 else 1
            arguments += [_value(param, case) for _ in range(count)]
    if random.random() < 0.03:
        arguments.insert(random.randrange(len(arguments)), random.choice(("--", "--x", "-", "-h")))
    return [text.encode("utf-8", "replace").decode().replace("\0", "") for text in arguments]


def _value(param: click.Parameter, case: Case) -> str:
    random, kind = case.random, param.type
    if random.random() < 0.12:
        return str(random.choice((*ODD_TEXTS, *ODD_NUMBERS, "pipe", "/dev/null", "missing", ".")))
    if isinstance(kind, click.Choice):
        return str(random.choice([*kind.choices]))
    if isinstance(kind, click.types.IntParamType):
        return str(random.choice((0, 1, 2, 3, 8, 16, -1, 4)))
    if isinstance(kind, click.types.FloatParamType):
        return str(random.choice((0, 0.1, 0.5, 0.99, 1, 2, -0.5)))
    named = str(param.name)
    if named in _FITTING:
        return str(random.choice(_FITTING[named]))
    if "Output" in type(kind).__name__:
        return random.choice(
            ("made.onnx", "made.json", "made", "made.tsv", "deep/er/made.onnx", *_INPUTS)
        )
    if isinstance(kind, click.Path):
        return random.choice((*_INPUTS, *_DOCUMENTS))
    return random.choice(
        ("1", "static", "int8", "en", "x=int8", "1,8", "12KB", "test", "all", "80%")
    )


_FITTING: dict[str, tuple[str, ...]] = {
    "model": ("model.onnx", "model.onnx", "model.onnx", "quantized.onnx"),
    "models": ("model.onnx", "quantized.onnx"),
    "source": ("model.onnx", "labels.txt"),
    "audio": ("clips", "clips", "clips/clip0.wav"),
    "data": ("clips",),
    "clips": ("clips/clip0.wav", "clips/clip1.wav"),
    "budget": ("12KB", "20KB", "7000B", "1B", "3MB", "9 KB", "-1KB", "0.012MB"),
    "codec": ("bitplane:3", "grouped:4", "native:4", "int8", "codebook:3", "sparse:4", "x:1"),
    "compute": ("static", "dynamic", "float32", "weight-only"),
    "plan_file": ("plan.json",),
    "sensitivity_file": ("sensitivity.json",),
    "split": ("calibration", "test", "all"),
    "bench": ("bench.json",),
    "report": ("made", "bench.json"),
    "baseline": ("baseline.json",),
    "path": ("model.onnx", "quantized.onnx", "bundle"),
}


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        if not path.is_dir():
            found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found


def _difference(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> str:
    if gone := sorted(before.keys() - after.keys()):
        return f"{gone[0]} is gone"
    if new := sorted(after.keys() - before.keys()):
        return f"{new[0]} is new"
    changed = sorted(name for name in before if before[name] != after[name])
    return f"{changed[0]} was changed" if changed else ""
