"""JSON and TOML documents: what is accepted means what it says, and is used as it says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt, command
from benchmarks.fuzz.damage import ODD_NUMBERS, ODD_TEXTS, damaged
from benchmarks.fuzz.json_damage import changed_json, disagreement, same_json
from benchmarks.fuzz.models import LABELS, write_models
from quantkit.api.inspect import inspect
from quantkit.audio.frontends import FRONTENDS, frontend_from_json, frontend_named
from quantkit.benchmarking.baseline import read_baseline, write_baseline
from quantkit.benchmarking.schema import read_report, write_report
from quantkit.errors import FormatError
from quantkit.graph.interface import Declared, Interface, Port
from quantkit.graph.plan import Plan, read_plan, write_plan
from quantkit.planning.latency import LayerTimes, read_layer_times, write_layer_times
from quantkit.sensitivity.table import read_sensitivity, write_sensitivity
from quantkit.text.labels import Labels

_MODEL = "model.onnx"
# Counts, sizes and times, by what their names end in.
_NEVER_NEGATIVE = (
    r"(bytes|bits|clips|seconds|runs|threads|utterances|parameters|cores|batch_size|identical|p50|p95"
    r"|labelled|speedup|load_s|rtf|levenshtein|length|insertions|deletions|substitutions|shape"
    r"|sample_rate|window|hop|fft_size|mel_bands)(\.\d+)?"
)
# What wrote a document decides nothing, and is written anew.
_VERSIONS = frozenset({"quantkit", "onnxruntime"})


@dataclass(frozen=True)
class _Document:
    """A kind of document.

    Args:
        read: the object in a file.
        write: the inverse.
        use: what is done with an accepted one now and then.
    """

    read: Callable[[Path], Any]
    write: Callable[[Any, Path], None]
    use: Callable[[Case, Path, Any], None] = lambda case, path, found: None


class Documents:
    """Changed by what knows their structure, or spelled differently."""

    name, share = "documents", 330

    def prepare(self, seeds: Path) -> None:
        if not (seeds / _MODEL).exists():
            write_models(seeds)
        folder = seeds / "documents"
        folder.mkdir()
        model, audio = seeds / _MODEL, ("--audio", seeds / "clips", "--no-cache")
        sensitivity = folder / "sensitivity.json"
        command("analyze", model, *audio, "--clips", "2", "-o", sensitivity, may_fail=False)
        command(
            *("plan", model, "--sensitivity", sensitivity, "--budget", "12KB"),
            *("-o", folder / "plan.json"),
            may_fail=False,
        )
        # The report is kept as it comes; what it says about this host does not matter.
        report = seeds / "report"
        command(
            *("bench", model, "--data", seeds / "clips", "--report", report, "--batch-sizes", "1"),
            may_fail=False,
        )
        shutil.copy(report / "bench.json", folder / "bench.json")
        command(
            *("gate", folder / "bench.json", "--baseline", folder / "baseline.json", "--update"),
            may_fail=False,
        )
        write_layer_times(_times(read_plan(folder / "plan.json")), folder / "times.json")
        (folder / "labels.json").write_text(LABELS.to_json())
        for name in FRONTENDS:
            (folder / f"frontend-{name}.json").write_text(frontend_named(name).to_json())
        (folder / "interface.json").write_text(_interface().to_json())

    def run(self, case: Case) -> Answer:
        if case.random.random() < 0.12:
            return _settings(case)
        name = case.random.choice(
            (
                "plan",
                "plan",
                "sensitivity",
                "bench",
                "baseline",
                "times",
                "labels",
                "frontend",
                "interface",
            )
        )
        document = _DOCUMENTS[name]
        stem = f"frontend-{case.random.choice(FRONTENDS)}" if name == "frontend" else name
        original = (case.seeds / "documents" / f"{stem}.json").read_text()
        is_same = case.random.random() < 0.1
        content = (same_json if is_same else changed_json)(original, case.random)
        content = content if isinstance(content, bytes) else content.encode()
        path = case.folder / f"{name}.json"
        path.write_bytes(content)
        try:
            found = attempt(lambda: document.read(path))
        except Refused as refusal:
            if is_same:
                raise WrongResult(f"{stem} says the same, and is refused: {refusal}") from None
            raise
        self._require_as_said(case, name, content, found)
        if case.random.random() < 0.15:
            document.use(case, path, found)
        return "right"

    def _require_as_said(self, case: Case, name: str, content: bytes, found: Any) -> None:
        document = _DOCUMENTS[name]
        again = case.folder / "again.json"
        attempt(lambda: document.write(found, again))
        try:
            said = json.loads(content)
        except ValueError as error:
            raise WrongResult(f"it is no JSON ({error}), and is accepted") from None
        written = json.loads(again.read_bytes())
        place = disagreement(said, {k: v for k, v in written.items() if k not in _VERSIONS})
        if place:
            raise WrongResult(f"accepted, but {place}")
        # A table keeps figures that overflowed, and who decides by a metric looks at it first.
        if name != "sensitivity" and (place := _not_finite(written)):
            raise WrongResult(f"accepted, and {place} is not finite")
        if place := _negative(written):
            raise WrongResult(f"accepted, and {place} is negative")
        last = case.folder / "last.json"
        document.write(document.read(again), last)
        if last.read_bytes() != again.read_bytes():
            raise WrongResult("written and read again, it is another one")


def _utf8(path: Path) -> str:
    """A text as metadata of a model hold it: they can hold no other bytes."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not UTF-8: {error}") from None


def _not_finite(value: Any, place: str = "") -> str:
    if isinstance(value, float):
        return "" if abs(value) < float("inf") else place
    if not isinstance(value, dict | list):
        return ""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return next(filter(None, (_not_finite(each, f"{place}.{key}") for key, each in inner)), "")


def _negative(value: Any, place: str = "") -> str:
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return next(filter(None, (_negative(each, f"{place}.{key}") for key, each in inner)), "")
    named = re.search(rf"(^|\.|_){_NEVER_NEGATIVE}$", place)
    return place if named and isinstance(value, int | float) and value < 0 else ""


def _quantize(case: Case, path: Path, plan: Plan) -> None:
    """A plan that is accepted leads to a file that keeps to it."""
    made = case.folder / "made.onnx"
    command(
        *("quantize", case.seeds / _MODEL, "--plan", path, "--audio", case.seeds / "clips"),
        *("--clips", "2", "-o", made),
    )
    wanted = {row.name: row for row in plan.layers}
    for row in inspect(made).rows():
        asked = wanted.get(row["name"])
        if asked is None:
            continue
        kept = (row["codec"], row["bits"], row["compute"]) == (
            asked.codec,
            asked.bits,
            asked.compute,
        )
        if not (kept or row.get("note")):
            raise WrongResult(
                f"{asked.name}: the plan says {asked.codec} {asked.bits} {asked.compute}, the file "
                f"has {row['codec']} {row['bits']} {row['compute']}"
            )
    command("verify", made, may_fail=False)


def _plan(case: Case, path: Path, _: Any) -> None:
    """What is planned with a table keeps to its budget."""
    out = case.folder / "made.json"
    command(
        *("plan", case.seeds / _MODEL, "--sensitivity", path, "--budget", "12KB", "-o", out),
    )
    found = read_plan(out)
    if found.predicted_bytes is None or found.predicted_bytes > 12_000:
        raise WrongResult(f"a plan of {found.predicted_bytes} bytes for a budget of 12,000")


def _plan_with_times(case: Case, path: Path, _: Any) -> None:
    sensitivity = case.seeds / "documents" / "sensitivity.json"
    command(
        *("plan", case.seeds / _MODEL, "--sensitivity", sensitivity, "--budget", "12KB"),
        *("--times", path, "--max-latency", "80%", "-o", case.folder / "made.json"),
    )


def _gate(case: Case, path: Path, _: Any) -> None:
    command("gate", path, "--baseline", case.seeds / "documents" / "baseline.json")


def _gate_by(case: Case, path: Path, _: Any) -> None:
    command("gate", case.seeds / "documents" / "bench.json", "--baseline", path)


def _settings(case: Case) -> Answer:
    """A settings file: what it says is what ``--dump-config`` says of it."""
    name = case.random.choice(("quantize", "plan", "bench", "transcribe", "train", "personalize"))
    lines = command(name, "--dump-config", may_fail=False).output.splitlines()
    options = [line.lstrip("# ") for line in lines if " = " in line]
    chosen = [*dict.fromkeys(case.random.choices(options, k=case.random.randint(1, 4)))]
    for place, option in enumerate(chosen):
        key, _, value = option.partition(" = ")
        if case.random.random() < 0.6:
            odd = case.random.choice((*ODD_NUMBERS, *ODD_TEXTS, [value], True, {"a": 1}))
            value = odd if isinstance(odd, str) else json.dumps(odd).replace('": ', '" = ')
            value = value if case.random.random() < 0.3 else json.dumps(value)
        chosen[place] = f"{key} = {value}"
    if case.random.random() < 0.1:
        chosen.append(case.random.choice(chosen))
    table = case.random.choice((name, name, name, name.upper(), f"{name}.x", ""))
    content = "\n".join((f"[{table}]" if table else "", *chosen, "")).encode("utf-8", "replace")
    path = case.folder / "settings.toml"
    path.write_bytes(content if case.random.random() < 0.8 else damaged(content, case.random))
    first = command(name, "--config", path, "--dump-config").output
    again = case.folder / "again.toml"
    again.write_text(first, encoding="utf-8")
    second = command(name, "--config", again, "--dump-config", may_fail=False).output
    if first != second:
        raise WrongResult(f"settings change by being written: {first!r} and {second!r}")
    return "right"


def _times(plan: Plan) -> LayerTimes:
    milliseconds = {"float32": 2.0, "static": 1.0, "dynamic": 1.2}
    layers: Mapping[str, Any] = {row.name: milliseconds for row in plan.layers}
    whole: Any = {key: 4 * value for key, value in milliseconds.items()}
    return LayerTimes(plan.model_sha256, "host", "1.31.1", 1, 2.0, 5, layers, whole)


def _interface() -> Interface:
    audio = Port("audio", "float32", ("batch", "samples"))
    output = Port("logits", "float32", ("batch", "frames", "labels"))
    declared = (Declared("audio", "float32", '["n", null]'),)
    return Interface(audio, output, "logits", stride=160, inputs=declared, outputs=declared)


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


_DOCUMENTS = {
    "plan": _Document(read_plan, write_plan, _quantize),
    "sensitivity": _Document(read_sensitivity, write_sensitivity, _plan),
    "bench": _Document(read_report, write_report, _gate),
    "baseline": _Document(read_baseline, write_baseline, _gate_by),
    "times": _Document(read_layer_times, write_layer_times, _plan_with_times),
    "labels": _Document(
        lambda path: Labels.from_json(path.read_bytes()),
        lambda found, path: _write_text(found.to_json(), path),
    ),
    "frontend": _Document(
        lambda path: frontend_from_json(_utf8(path)),
        lambda found, path: _write_text(found.to_json(), path),
    ),
    "interface": _Document(
        lambda path: Interface.from_json(_utf8(path)),
        lambda found, path: _write_text(found.to_json(), path),
    ),
}
