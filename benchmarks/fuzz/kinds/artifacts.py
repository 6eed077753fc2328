"""Files that quantkit wrote: an altered one is refused, or gives the very same text."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt, command
from benchmarks.fuzz.damage import ODD_NUMBERS, ODD_TEXTS, damaged
from benchmarks.fuzz.json_damage import changed_json, same_json
from benchmarks.fuzz.models import write_models
from benchmarks.fuzz.protobuf_damage import changed_model
from quantkit.api.inspect import inspect
from quantkit.api.load import load
from quantkit.graph.integrity import CHECKSUM_KEY, append_checksum

_MODELS = ("model.onnx", "quantized.onnx", "external/model.onnx")


class Artifacts:
    """Damaged, edited, and edited ones with a checksum that holds again."""

    name, share = "artifacts", 200

    def prepare(self, seeds: Path) -> None:
        write_models(seeds)
        command(
            *("quantize", seeds / "model.onnx", "--compute", "static", "--codec", "grouped:4"),
            *("--audio", seeds / "clips", "-o", seeds / "quantized.onnx"),
            may_fail=False,
        )

    def run(self, case: Case) -> Answer:
        seed = case.seeds / case.random.choice(_MODELS)
        files = [seed, *seed.parent.glob(f"{seed.name}.data")]
        for file in files:
            shutil.copy(file, case.folder)
        model = case.folder / seed.name
        if case.random.random() < 0.45:
            return self._damaged(case, seed, [case.folder / file.name for file in files])
        return self._resealed(case, seed, model)

    def _damaged(self, case: Case, seed: Path, files: list[Path]) -> Answer:
        harmed = case.random.choice(files)
        before = harmed.read_bytes()
        way = case.random.random()
        if way < 0.05 and len(files) > 1:
            harmed.unlink()
        elif way < 0.1:
            other = case.seeds / case.random.choice(_MODELS)
            harmed.write_bytes(other.read_bytes())
            if harmed == files[0] and (other.parent == case.seeds or len(files) > 1):
                # Another model, as intact as it was.
                seed, before = other, other.read_bytes()
        else:
            harmed.write_bytes(damaged(before, case.random))
        is_same = harmed.exists() and harmed.read_bytes() == before
        return _same_or_refused(case, files[0], seed, is_same)

    def _resealed(self, case: Case, seed: Path, path: Path) -> Answer:
        """Another tool changed it, or a person did who knows how it is sealed."""
        model = onnx.load(path, load_external_data=False)
        kept = [entry for entry in model.metadata_props if entry.key != CHECKSUM_KEY]
        entries = [(entry.key, entry.value) for entry in kept]
        del model.metadata_props[:]
        way = case.random.random()
        keeps_graph = way < 0.6
        is_same = False
        if keeps_graph:
            entries, is_same = _changed_entries(entries, case)
        for key, value in entries:
            model.metadata_props.add(key=key, value=value)
        if not keeps_graph:
            model = changed_model(model, case.random)
        path.write_bytes(model.SerializeToString())
        if case.random.random() < 0.05:
            if _accepted(lambda: load(path)):
                raise WrongResult("it has no checksum, and is opened")
            raise Refused("without a checksum")
        beside = path.with_name(f"{path.name}.data")
        append_checksum(path, [beside] if beside.exists() else [])
        if is_same:
            return _same_or_refused(case, path, seed, True)
        return _consistent(case, path)


def _changed_entries(
    entries: list[tuple[str, str]], case: Case
) -> tuple[list[tuple[str, str]], bool]:
    """Other metadata, and whether they say the same."""
    place = case.random.randrange(len(entries))
    key, value = entries[place]
    is_json = value[:1] in "{["
    way = case.random.random()
    if is_json and way < 0.2:
        return _with(entries, place, same_json(value, case.random).decode()), True
    if is_json and way < 0.8:
        changed = changed_json(value, case.random).decode("utf-8", "replace")
        return _with(entries, place, changed), False
    if way < 0.85:
        return [entry for entry in entries if entry[0] != key], False
    if way < 0.9:
        return [*entries, (key, value)], False
    odd = str(case.random.choice((*ODD_TEXTS, *ODD_NUMBERS, value * 2, value[:-1])))
    odd = odd.encode("utf-8", "replace").decode()
    return _with(entries, place, odd), False


def _with(entries: list[tuple[str, str]], place: int, value: str) -> list[tuple[str, str]]:
    return [*entries[:place], (entries[place][0], value), *entries[place + 1 :]]


def _same_or_refused(case: Case, path: Path, seed: Path, is_same: bool) -> Answer:
    try:
        text = _text(path, case.seeds)
    except Refused:
        if is_same:
            raise WrongResult(f"{path.name} is as it was, and refused") from None
        raise
    if text != _text_of_seed(seed, case.seeds):
        raise WrongResult(f"{path.name} was changed, and gives {text!r}")
    return "right"


def _consistent(case: Case, path: Path) -> Answer:
    """What ``verify`` calls good can be opened; what runs prints proper text.

    It may still fail on a clip: ``verify`` runs it on noise of another length.
    """
    verified = _accepted(lambda: command("verify", path))
    inspected = _accepted(lambda: inspect(path).rows())
    opened = _accepted(lambda: load(path))
    if verified and not opened:
        raise WrongResult("verified, and cannot be opened")
    if not (verified and inspected and opened):
        raise Refused("by verify, inspect or load")
    _text(path, case.seeds).encode()
    return "right"


def _accepted(function: Callable[[], object]) -> bool:
    try:
        attempt(function)
    except Refused:
        return False
    return True


def _text(path: Path, seeds: Path) -> str:
    return attempt(lambda: load(path).transcribe(seeds / "clips" / "clip5.wav").text)


@functools.cache
def _text_of_seed(seed: Path, seeds: Path) -> str:
    text = _text(seed, seeds)
    assert text
    return text
