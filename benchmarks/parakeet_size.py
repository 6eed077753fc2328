"""Parakeet-TDT of 0.6 billion random weights: what each step costs, and how fast int8 is.

Run it from the repository: ``python -m benchmarks.parakeet_size``. It takes an hour or more on one
core, 20 GB of disk, PyTorch and transformers, and renews its section of RESULTS.md. It fails if a
step needs more memory than is promised, or if int8 is not as fast as promised. Each step is a
process of its own; with ``--folder``, a run that was stopped goes on from its last whole step.
``--layers 12`` makes a model of half the size, with smaller budgets, and renews nothing.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.cells import ROOT
from benchmarks.large_conformer import Cost
from benchmarks.results import host, replace_section, table
from quantkit.disk.files import write_text
from quantkit.graph.artifact import model_files, total_size

#: Peak memory that is promised for every step, in bytes.
PROMISED_BYTES = 24_000_000_000
#: int8 against float32 on one thread.
PROMISED_SPEED = 2.0
#: Of the personalised files: the first takes about 6 bits for a weight, the second below 3.
BUDGETS = ("485MB", "200MB")
# Of the float32 model; the budgets of a smaller one are as much smaller.
_WHOLE_BYTES = 2_507_000_000

# What is heard: one clip shows what a step costs, and another costs the same again.
HEARD = ("--audio", str(ROOT / "calibration_data"), "--clips", "1", "--max-seconds", "4")
# Three codecs in place of some twenty, for the same reason.
TRIED = ("int8", "grouped:4", "grouped:2")
#: Frames of the clip whose encoding is timed: 10 s.
FRAMES = 1_000
FLOAT32, INT8 = "float32", "quantkit, preset hybrid"
DYNAMIC = {
    "ONNX Runtime quantize_dynamic": None,
    "ONNX Runtime quantize_dynamic, MatMul only": ["MatMul"],
}


@dataclass(frozen=True)
class Speed:
    """Of one variant's encoder.

    Args:
        milliseconds: of the processor for 10 s, the median of runs in turn.
        megabytes: of the encoder's files.
    """

    name: str
    milliseconds: float
    megabytes: float


def write_model(folder: Path, layers: int) -> None:
    """Save the model as ``save_pretrained`` does, with all that an export needs."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import (
        ParakeetFeatureExtractor,
        ParakeetForTDT,
        ParakeetProcessor,
        ParakeetTDTConfig,
        ParakeetTokenizer,
    )

    torch.manual_seed(0)
    config = ParakeetTDTConfig(
        encoder_config={
            "num_hidden_layers": layers,
            "num_mel_bins": 128,
            "attention_bias": False,
            "convolution_bias": False,
            "scale_input": False,
        }
    )
    any_model: Any = ParakeetForTDT
    model = any_model(config)
    with torch.no_grad():
        # A text of some length, as a trained model writes one.
        model.joint.head.bias[config.blank_token_id] += 0.2
    model.save_pretrained(folder)
    pieces = ["<unk>", "<pad>", "▁", *(f"▁w{number}" for number in range(config.vocab_size - 4))]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(numbers, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.add_special_tokens(["<unk>", "<pad>", "<blank>"])
    any_tokenizer: Any = ParakeetTokenizer
    fast = any_tokenizer(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    any_extractor: Any = ParakeetFeatureExtractor
    any_processor: Any = ParakeetProcessor
    any_processor(any_extractor(feature_size=128), fast).save_pretrained(folder)


def run_step(step: str, folder: Path) -> dict[str, Any]:
    """One step in this process, which should do nothing else, as JSON."""
    start, size = time.perf_counter(), 0
    if step == "speed":
        return {"speeds": [asdict(each) for each in speeds(folder)]}
    if step in DYNAMIC:
        dynamic(folder, step)
    else:
        size = _by_command(step, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return asdict(Cost(step, time.perf_counter() - start, peak, size))


def _by_command(step: str, folder: Path) -> int:
    """Bytes of what ``quantkit`` writes."""
    from quantkit.cli import main as quantkit

    source, made = folder / "float32.onnx", folder / f"{step}.onnx"
    arguments: list[str | Path] = ["export", folder / "model", "-o", source]
    if step == "int8":
        arguments = ["quantize", source, "--preset", "hybrid", *HEARD, "-o", made]
    elif step in BUDGETS:
        share = min(1.0, total_size(source) / _WHOLE_BYTES)
        budget = round(share * 1e6 * float(step.removesuffix("MB")))
        arguments = ["personalize", source, *HEARD, "--budget", f"{budget}B", "--rounds", "0"]
        arguments += [part for codec in TRIED for part in ("--candidate", codec)]
        arguments += ["--cache", folder / "cache", "-o", made]
    try:
        quantkit([str(argument) for argument in arguments])
    except SystemExit as ended:
        if ended.code:
            raise
    return total_size(made)


def dynamic(folder: Path, name: str) -> None:
    """The encoder as the zoos quantize it."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        folder / "float32.onnx",
        _of_dynamic(folder, name),
        weight_type=QuantType.QInt8,
        op_types_to_quantize=DYNAMIC[name],
        use_external_data_format=True,
    )


def _of_dynamic(folder: Path, name: str) -> Path:
    return folder / f"dynamic-{[*DYNAMIC].index(name)}.onnx"


def speeds(folder: Path, seconds: float = 60.0) -> list[Speed]:
    """Each encoder on the same noise, in turn, on one thread."""
    from quantkit.runtime.interleaved import Effort, interleaved_seconds
    from quantkit.runtime.session import open_session, session_options

    files = {FLOAT32: folder / "float32.onnx", INT8: folder / "int8.onnx"}
    files |= {name: _of_dynamic(folder, name) for name in DYNAMIC}
    files = {name: file for name, file in files.items() if file.is_file()}
    noise = np.random.default_rng(0).standard_normal((1, FRAMES, 128))
    feed = {"features": noise.astype(np.float32), "lengths": np.array([FRAMES])}
    sessions = [open_session(model_files(f)[0], session_options(threads=1)) for f in files.values()]
    taken = interleaved_seconds(
        [partial(session.run, ["encoded"], feed) for session in sessions],
        threads=1,
        effort=Effort(rounds=40, min_rounds=5, seconds=seconds),
        # A session with one thread computes in that of its caller; others share the host.
        clock=time.thread_time,
    )
    return [
        Speed(name, 1e3 * float(time_), _encoder_bytes(file) / 1e6)
        for (name, file), time_ in zip(files.items(), np.median(taken, axis=0), strict=True)
    ]


def _encoder_bytes(file: Path) -> int:
    return sum(each.stat().st_size for each in (file, Path(f"{file}.data")) if each.is_file())


def report(costs: Sequence[Cost], found: Sequence[Speed], weights: int) -> str:
    """The section of RESULTS.md."""
    steps = [
        [
            cost.step,
            f"{cost.seconds:.0f}",
            f"{cost.peak_bytes / 1e9:.1f}",
            f"{cost.size_bytes / 1e6:,.0f}" if cost.size_bytes else "–",
        ]
        for cost in costs
    ]
    first = found[0].milliseconds
    rows = [
        [
            each.name,
            f"{each.megabytes:,.0f}",
            f"{each.milliseconds:,.0f}",
            f"{first / each.milliseconds:.2f}×",
        ]
        for each in found
    ]
    return "\n\n".join(
        [
            "## Parakeet-TDT of 0.6 billion weights",
            f"`python -m benchmarks.parakeet_size`: {weights / 1e6:,.0f} M random weights, each "
            "step a process of its own. `personalize` hears one clip of at most 4 s and chooses "
            f"among {', '.join(TRIED)}; the second budget finds the analysis of the first in its "
            "cache. Peak resident memory with Python, libraries and mapped files; promised: at "
            f"most {PROMISED_BYTES / 1e9:g} GB. {host()}.",
            table(["step", "seconds", "peak GB", "wrote MB"], steps),
            "The encoder, which is nearly all of the model, on 10 s of noise, one thread, in turn; "
            "milliseconds of the processor. Promised: int8 at least "
            f"{PROMISED_SPEED:g} times as fast as float32.",
            table(["encoder", "MB", "ms", "speed"], rows),
        ]
    )


def broken_promises(costs: Sequence[Cost], found: Sequence[Speed]) -> list[str]:
    """In words."""
    times = {each.name: each.milliseconds for each in found}
    speed = times[FLOAT32] / times[INT8]
    broken = [
        f"{cost.step} takes {cost.peak_bytes / 1e9:.1f} GB, more than {PROMISED_BYTES / 1e9:g} GB"
        for cost in costs
        if cost.peak_bytes > PROMISED_BYTES
    ]
    if speed < PROMISED_SPEED:
        broken.append(f"int8 is {speed:.2f} times as fast, not {PROMISED_SPEED:g} times")
    return broken


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keeps the models and what was found.",
)
@click.option("--layers", type=click.IntRange(min=1), default=24, show_default=True)
@click.option("--step", default="", hidden=True)
def main(folder: Path | None, layers: int, step: str) -> None:
    """Take the steps, renew RESULTS.md, and fail if a promise is broken."""
    if folder is not None and step:
        click.echo(json.dumps(run_step(step, folder)))
        return
    with _place(folder) as place:
        if not (place / "float32.json").is_file():
            write_model(place / "model", layers)
        costs = [_cost("float32", place)]
        shutil.rmtree(place / "model", ignore_errors=True)
        costs += [_cost(name, place) for name in ("int8", *BUDGETS)]
        for name in DYNAMIC:
            _measured(name, place)
        found = [Speed(**each) for each in _measured("speed", place)["speeds"]]
        weights = total_size(place / "float32.onnx") // 4
    section = report(costs, found, weights)
    click.echo(section)
    if layers == 24:
        replace_section("parakeet-size", section)
    if broken := broken_promises(costs, found):
        raise click.ClickException("; ".join(broken))


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """``folder``, which stays, or one that goes when the run ends."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def _cost(step: str, folder: Path) -> Cost:
    cost = Cost(**_measured(step, folder))
    click.echo(f"{cost.step}: {cost.seconds:.0f} s, {cost.peak_bytes / 1e9:.1f} GB", err=True)
    return cost


def _measured(step: str, folder: Path) -> dict[str, Any]:
    """What the step's process found; what an earlier run found, where it is kept."""
    kept = folder / f"{step}.json"
    if not kept.is_file():
        command = [sys.executable, "-m", "benchmarks.parakeet_size"]
        command += ["--folder", str(folder), "--step", step]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        if done.returncode:
            raise click.ClickException(f"step {step} failed:\n{done.stderr}")
        write_text(kept, done.stdout.splitlines()[-1])
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main()
