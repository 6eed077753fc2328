"""The same bytes: SHA-256 of what the tool writes, compared with what it wrote before.

``python -m benchmarks.same_bytes`` makes every artifact anew and compares it with
``same_bytes.json``; ``--update`` records them. ``--code DIR`` runs the quantkit of another
checkout. Numbers differ in their last digits between processors and releases of libraries, so the
file says where it was recorded, and a comparison on another host is refused. ``--only GLOB`` picks
steps.

A restructuring must not change what users get. Where it is meant to, the digest of ``graph`` tells
how far it goes: it covers the graphs and the weights, and none of the metadata.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click
import onnx

from benchmarks.cells import ROOT
from benchmarks.results import host
from quantkit.disk.files import sha256_of, write_text

RECORD = Path(__file__).with_suffix(".json")

_LIBRARIES = ("numpy", "onnx", "onnxruntime", "scipy", "torch", "transformers")
_AUDIO = ("--audio", str(ROOT / "calibration_data"), "--split", "calibration")
_TEN = (*_AUDIO, "--clips", "10")
_MODELS = ("wav2letter-en", "keywords-en")

# Between them: every codec, every way to compute, every way to find a range.
_PLANS: dict[str, tuple[str, ...]] = {
    "bitplane": ("--compute", "static", "--codec", "bitplane:3", "--layer", "1=bitplane:5@dynamic"),
    "native": ("--compute", "static", "--codec", "native:4", "--range", "percentile"),
    "codebook": ("--compute", "dynamic", "--codec", "codebook:3", "--layer", "-1=ternary"),
    "grouped": ("--compute", "static", "--codec", "grouped:2", "--range", "entropy"),
    "sparse": ("--compute", "static", "--codec", "sparse:4", "--layer", "2=int16@float32"),
    "blocks": ("--compute", "matmul-nbits", "--codec", "blocks:4", "--layer", "2=float16@float32"),
    "tiered": ("--compute", "static", "--codec", "tiered:3,tiers=8x8", "--layer", "1=int8"),
    "rice": ("--compute", "static", "--codec", "rice:2.5"),
    "powers": ("--compute", "static", "--codec", "powers:3", "--layer", "2=binary"),
    "mixed": (
        *("--compute", "static", "--codec", "grouped:3", "--exclude", "1"),
        *("--layer", "2=bitplane:6/6", "--layer", "3=codebook:4@dynamic", "--layer", "4=int8/16"),
        *("--range", "hessian", "--rounding", "nearest"),
    ),
}


#: Steps that a later change was meant to alter, as globs over their names, and how.
INTENDED: dict[str, str] = {
    **dict.fromkeys(
        ("preset *", "codecs *", "quantize plan *", "personalize *"),
        "weights of integer layers lie within ±64, which is right on any processor; scales are "
        "searched with sums in another order; attention without a mask is one operator; a weight "
        "of 8 million or more is decoded in pieces",
    ),
    "export keywords-en": "the mean and variance of the first layer's channels are computed with "
    "fewer operations",
    "export whisper": "tokens that are never written are the published ones where no settings say "
    "it",
    "plan *": "plans say which processors they are for, and follow from the table of analyze",
    "analyze": "60 seconds are heard instead of 80; where only the size of an error matters, "
    "weights are rounded once, by the moments that the whole layer is rounded by, tables are "
    "learned in fewer rounds, and candidates between others are interpolated",
}


@dataclass(frozen=True)
class Step:
    """One command line; ``{OUT}`` stands for the folder of all results.

    Args:
        name: of the step.
        arguments: of ``quantkit``.
        makes: the file that is compared, relative to the folder of results.
    """

    name: str
    arguments: tuple[str, ...]
    makes: str


def steps() -> Iterator[Step]:
    """All of them, in an order in which each finds what it needs."""
    for model in _MODELS:
        source, made = str(ROOT / "models" / model), f"{model}/float32.onnx"
        yield Step(f"export {model}", ("export", source, "-o", "{OUT}/" + made), made)
    yield Step(
        "export whisper",
        ("export", "{OUT}/whisper/cut", "-o", "{OUT}/whisper.onnx"),
        "whisper.onnx",
    )
    for model in _MODELS:
        for preset in ("int8", "semi-int8", "skip-ends", "dynamic-int8", "static-int8", "hybrid"):
            made = f"{model}/{preset}.onnx"
            yield _quantize(f"preset {model} {preset}", model, made, "--preset", preset)
    for name, settings in _PLANS.items():
        model = "keywords-en" if name == "blocks" else "wav2letter-en"
        yield _quantize(f"codecs {name}", model, f"{model}/codecs-{name}.onnx", *settings)
    shipped = "{OUT}/wav2letter-en/float32.onnx"
    table = "wav2letter-en/sensitivity.json"
    yield Step("analyze", ("analyze", shipped, *_TEN, "--no-cache", "-o", "{OUT}/" + table), table)
    for budget in ("1.5MB", "3MB"):
        plan = f"wav2letter-en/plan-{budget}.json"
        yield Step(
            f"plan {budget}",
            (
                *("plan", shipped, "--sensitivity", "{OUT}/" + table),
                *("--budget", budget, "-o", "{OUT}/" + plan),
            ),
            plan,
        )
        yield _quantize(
            f"quantize plan {budget}",
            "wav2letter-en",
            f"wav2letter-en/plan-{budget}.onnx",
            *("--plan", "{OUT}/" + plan),
        )
    for model, budget in (("wav2letter-en", "2MB"), ("keywords-en", "1MB"), ("whisper", "18MB")):
        source = f"{model}/float32.onnx" if model in _MODELS else "whisper.onnx"
        made = f"personal-{model}.onnx"
        yield Step(
            f"personalize {model}",
            (
                *("personalize", "{OUT}/" + source, *_AUDIO, "--clips", "8", "--no-cache"),
                *("--budget", budget, "-o", "{OUT}/" + made),
            ),
            made,
        )


def _quantize(name: str, model: str, made: str, *settings: str) -> Step:
    source = "{OUT}/" + f"{model}/float32.onnx"
    return Step(name, ("quantize", source, *_TEN, *settings, "-o", "{OUT}/" + made), made)


def digests(path: Path) -> dict[str, str]:
    """Of a file, and of what it computes if it is a model; a decoder beside it counts, too."""
    beside = path.with_name(path.name.removesuffix(".onnx") + ".decoder.onnx")
    files = [path, *([beside] if path.suffix == ".onnx" and beside.exists() else [])]
    found = {"file": "+".join(sha256_of(file) for file in files)}
    if path.suffix == ".onnx":
        graph = hashlib.sha256()
        for file in files:
            graph.update(onnx.load(file).graph.SerializeToString(deterministic=True))
        found["graph"] = graph.hexdigest()
    found["bytes"] = "+".join(str(file.stat().st_size) for file in files)
    return found


def cut_whisper(folder: Path) -> None:
    """A folder of ``transformers`` with the first two layers of tiny.en's halves."""
    from transformers import WhisperForConditionalGeneration

    from benchmarks.whisper_weights import fetched
    from quantkit.models.whisper.checkpoint import load_ctranslate2

    source = fetched("tiny.en")
    whole = load_ctranslate2(source).model
    config = whole.config
    config.encoder_layers = config.decoder_layers = config.num_hidden_layers = 2
    cut = WhisperForConditionalGeneration(config)
    kept = cut.state_dict().keys()
    cut.load_state_dict({k: v for k, v in whole.state_dict().items() if k in kept})
    cut.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())


def make(
    steps_wanted: Sequence[Step], code: Path, out: Path, keep_made: bool
) -> dict[str, dict[str, str]]:
    """Run the steps with the quantkit of the checkout ``code``.

    Args:
        keep_made: what lies in ``out`` already is not made again.
    """
    environment = os.environ | {"PYTHONPATH": str(code)}
    found = {}
    for step in steps_wanted:
        target = out / step.makes
        if keep_made and target.exists():
            found[step.name] = digests(target)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if step.name == "export whisper":
            cut_whisper(out / "whisper" / "cut")
        arguments = [argument.replace("{OUT}", str(out)) for argument in step.arguments]
        command = [sys.executable, "-m", "quantkit", *arguments]
        done = subprocess.run(
            command, cwd=code, env=environment, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise click.ClickException(f"{step.name}: {done.stderr.strip() or done.stdout}")
        found[step.name] = digests(target)
        click.echo(f"{step.name}: {found[step.name]['file'][:12]} {found[step.name]['bytes']}")
    return found


def where() -> str:
    """The host and the libraries that the bytes depend on."""
    return f"{host()}, " + ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)


def intended(step: str) -> str:
    """How a change since the record was meant to alter a step; empty where none was."""
    reasons = [why for pattern, why in INTENDED.items() if fnmatch.fnmatchcase(step, pattern)]
    return "; ".join(reasons)


def changes(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]
) -> Iterator[tuple[str, str]]:
    """Steps with what is different about them, in words."""
    for name, found in after.items():
        known = before.get(name)
        if known is None:
            yield name, "was not recorded"
        elif known["file"] != found["file"]:
            same = "graph" in known and known["graph"] == found["graph"]
            size = f"{known['bytes']} -> {found['bytes']} bytes"
            yield name, f"{'metadata only' if same else 'the content'} ({size})"


@click.command()
@click.option("--code", type=click.Path(path_type=Path, exists=True), default=ROOT)
@click.option("--only", default="*", help="A glob over the names of steps.")
@click.option("--update", is_flag=True, help="Record instead of comparing.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to keep the results in.")
def main(code: Path, only: str, update: bool, keep: Path | None) -> None:
    """Make all artifacts, and compare them with the record or renew it."""
    needed = [step for step in steps() if fnmatch.fnmatchcase(step.name, only)]
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    if not update and record.get("host") != where():
        raise click.ClickException(
            f"recorded on another host ({record.get('host')}; this is {where()}): record the old "
            "code here first, --code OLD_CHECKOUT --update"
        )
    with tempfile.TemporaryDirectory() as scratch:
        found = make(needed, code.resolve(), keep or Path(scratch), keep_made=update)
    if update:
        kept = record.get("steps", {}) if record.get("host") == where() else {}
        document = {"host": where(), "steps": kept | found}
        write_text(RECORD, json.dumps(document, indent=1) + "\n")
        return
    differing = list(changes(record["steps"], found))
    for name, what in differing:
        click.echo(f"{name}: {what}{f'; intended: {why}' if (why := intended(name)) else ''}")
    if unintended := [name for name, _ in differing if not intended(name)]:
        raise click.ClickException(f"{len(unintended)} of {len(found)} results are not as recorded")
    same = len(found) - len(differing)
    click.echo(f"{same} of {len(found)} results have the bytes that were recorded")


if __name__ == "__main__":
    main()
