"""What a model beyond 2 GB costs at each step: a Wav2Vec2-Conformer of 600 M random weights.

Run it from the repository: ``python -m benchmarks.large_conformer``. It takes about an hour, 12 GB
of disk, PyTorch and transformers, and renews its section of RESULTS.md. It fails if a step needs
more memory than is promised. Each step is a process of its own.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from quantkit.graph.artifact import total_size

#: Peak memory that is promised for every step, in bytes.
PROMISED_BYTES = 10_000_000_000

AUDIO = ROOT / "calibration_data"
#: What is heard: a few clips show what a step costs.
HEARD = ("--audio", str(AUDIO), "--clips", "2", "--max-seconds", "4")
# Two codecs in place of thirteen: each costs the same again.
TRIED = ("--candidate", "grouped:4", "--candidate", "int8", "--metric", "sqnr")
#: Of the file; 4 bits everywhere take 350 MB, 8 bits 610.
BUDGET = "450MB"


@dataclass(frozen=True)
class Cost:
    """Of one step.

    Args:
        peak_bytes: of resident memory, mapped files included.
        size_bytes: of the model that it wrote; 0 for none.
    """

    step: str
    seconds: float
    peak_bytes: int
    size_bytes: int = 0


def write_model(folder: Path) -> None:
    """Save the model as ``save_pretrained`` does, with all that an export needs."""
    import torch
    from transformers import (
        Wav2Vec2ConformerConfig,
        Wav2Vec2ConformerForCTC,
        Wav2Vec2FeatureExtractor,
    )

    torch.manual_seed(0)
    config = Wav2Vec2ConformerConfig.from_dict(
        {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "feat_extract_norm": "layer",
            "conv_bias": True,
            "position_embeddings_type": "relative",
            "vocab_size": 32,
        }
    )
    Wav2Vec2ConformerForCTC(config).save_pretrained(folder)
    extractor: Any = Wav2Vec2FeatureExtractor
    extractor().save_pretrained(folder)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
    vocabulary = {token: index for index, token in enumerate(letters)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")


def run_step(step: str, folder: Path) -> Cost:
    """One step in this process, which should do nothing else."""
    float_model, quantized = folder / "float32.onnx", folder / "quantized.onnx"
    table_file, plan = folder / "sensitivity.json", folder / "plan.json"
    arguments: dict[str, Sequence[str | Path]] = {
        "export": ("export", folder / "model", "-o", float_model),
        "analyze": ("analyze", float_model, *HEARD, *TRIED, "-o", table_file),
        "plan": ("plan", float_model, "--sensitivity", table_file, "--budget", BUDGET, "-o", plan),
        "quantize": ("quantize", float_model, "--plan", plan, *HEARD, "-o", quantized),
    }
    start, size = time.perf_counter(), 0
    if step == "load":
        from quantkit.tasks.open import open_speech_model

        open_speech_model(quantized)
    else:
        from quantkit.cli import main as quantkit

        try:
            quantkit([str(argument) for argument in arguments[step]])
        except SystemExit as ended:
            if ended.code:
                raise
        made = {"export": float_model, "quantize": quantized}.get(step)
        size = total_size(made) if made else 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Cost(step, time.perf_counter() - start, peak, size)


def report(costs: Sequence[Cost]) -> str:
    """The section of RESULTS.md."""
    rows = [
        [
            cost.step,
            f"{cost.seconds:.0f}",
            f"{cost.peak_bytes / 1e9:.1f}",
            f"{cost.size_bytes / 1e6:,.0f}" if cost.size_bytes else "–",
        ]
        for cost in costs
    ]
    return "\n\n".join(
        [
            "## A model beyond 2 GB",
            "`python -m benchmarks.large_conformer`: Wav2Vec2-Conformer-Large with relative "
            "positions, random weights, each step a process of its own, on two clips of at most "
            f"4 s; `analyze` with two codecs and one metric, a plan for {BUDGET}; peak resident "
            "memory with Python, libraries and mapped files. Promised: at most "
            f"{PROMISED_BYTES / 1e9:g} GB. {host()}.",
            table(["step", "seconds", "peak GB", "wrote MB"], rows),
        ]
    )


def broken_promises(costs: Sequence[Cost]) -> list[str]:
    """In words."""
    return [
        f"{cost.step} takes {cost.peak_bytes / 1e9:.1f} GB, more than {PROMISED_BYTES / 1e9:g} GB"
        for cost in costs
        if cost.peak_bytes > PROMISED_BYTES
    ]


@click.command()
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="For the models.")
@click.option("--step", default="", hidden=True)
def main(folder: Path | None, step: str) -> None:
    """Take the steps, renew RESULTS.md, and fail if one needs more memory than is promised."""
    if folder is not None and step:
        cost = run_step(step, folder)
        click.echo(json.dumps(asdict(cost)))
        return
    with tempfile.TemporaryDirectory(dir=folder) as made:
        place = Path(made)
        write_model(place / "model")
        costs = [_measured("export", place)]
        shutil.rmtree(place / "model")
        costs += [_measured(name, place) for name in ("analyze", "plan", "quantize", "load")]
    section = report(costs)
    click.echo(section)
    replace_section("large-conformer", section)
    if broken := broken_promises(costs):
        raise click.ClickException("; ".join(broken))


def _measured(step: str, folder: Path) -> Cost:
    command = [sys.executable, "-m", "benchmarks.large_conformer"]
    command += ["--folder", str(folder), "--step", step]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
