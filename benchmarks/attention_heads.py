"""Whether single attention heads can be left out, and what that would save.

Run it from the repository after ``make export MODEL=models/keywords-en``: ``python -m
benchmarks.attention_heads --data FOLDER``, with ``speech_commands/`` and ``librispeech/`` in the
folder. It takes some minutes and renews its section of RESULTS.md.

A head is left out as channels are (:mod:`quantkit.structure.selection`): the layer that reads the
heads makes up for it by least squares from what the others give. What that does to the posteriors
is measured, one head at a time, with all else as it was.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.keyword_latency import MODEL
from benchmarks.keyword_latency import SOURCE as SPOTTER
from benchmarks.results import host, replace_section, table
from benchmarks.whisper import calibration, float_model
from quantkit.audio.utterance import Corpus
from quantkit.calibration.calibrate import Watched, calibrate
from quantkit.calibration.observations import Observations
from quantkit.graph.single_file import single_file
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.node_times import node_milliseconds
from quantkit.runtime.output_scale import posterior_output
from quantkit.runtime.parallel import workers
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer
from quantkit.sensitivity.layerwise import Unit, Walk
from quantkit.sensitivity.reference import Reference
from quantkit.sensitivity.trial import LayerTrial
from quantkit.structure.output_moments import ChannelMoments
from quantkit.structure.selection import Selection
from quantkit.training.keywords.recipe import load_keyword_recipe
from quantkit.training.keywords.speakers import open_part

#: Nats that all heads together may cost that are left out.
ALLOWED = (0.001, 0.003, 0.01)
_MEMORY = 500_000_000
_CLIPS, _RUNS = 96, 15


@dataclass(frozen=True)
class Model:
    """One model with attention.

    Args:
        name: in the table.
        source: its float file.
        layers: how the names of all layers begin that are looked at.
        attention: each node of an attention has one of these in its name.
        output: how the names of the layers end that read the heads.
        heads: of each of them.
        audio: unlabelled clips, all of which moments are taken from.
        clips: of them, on which heads are left out.
    """

    name: str
    source: Path
    layers: str
    attention: tuple[str, ...]
    output: str
    heads: int
    audio: Corpus
    clips: int


def divergences(model: Model) -> dict[str, list[float]]:
    """In nats, without each of the heads of each layer that reads some."""
    prepared = PreparedModel(model.source)
    graph = prepared.graph()
    layers = prepared.layers_of(graph)
    feeds = prepared.feeds(model.audio)
    weights = CandidateWeights(graph, layers, Observations(), PtqSettings())
    placed: dict[str, FloatLayer] = {}
    for each in layers:
        wanted = each.name.startswith(model.layers) and each.name.endswith(model.output)
        layer = weights.layer(each.name) if wanted else None
        if layer is not None:
            placed[each.name] = layer
    moments = {name: ChannelMoments(-1) for name in placed}
    watched = {
        str(layer.node.input[0]): Watched(name, (moments[name],)) for name, layer in placed.items()
    }
    calibrate(graph, watched, feeds)
    heard = feeds.only(range(min(model.clips, feeds.clips)))
    output = posterior_output(graph)
    found: dict[str, list[float]] = {}
    with workers(1) as pool, closing(Walk(graph, output, heard, memory=_MEMORY, pool=pool)) as walk:
        reference = Reference(walk.clips, walk.results(), "spoken", walk.folder, _MEMORY)
        for name, layer in placed.items():
            click.echo(f"{model.name}: {name}", err=True)
            unit = Unit(name, layer.position, layer.position)
            trial = LayerTrial(walk, walk.go_to(unit), layer, reference, {})
            selection = Selection(layer.placed.matrix(), moments[name].covariance(centred=True))
            channels = np.arange(selection.channels)
            found[name] = []
            for head in np.split(channels, model.heads):
                fewer = selection.keeping(np.setdiff1d(channels, head))
                rows = fewer.on_all(selection.channels)
                weight = np.ascontiguousarray(np.moveaxis(rows, 0, layer.axis), np.float32)
                changes = [
                    trial.with_weight(clip, weight, {}, fewer.shift)
                    for clip in range(len(walk.clips))
                ]
                found[name].append(reference.mean(each.divergence for each in changes))
    return found


def share_of_a_head(model: Model, folder: Path) -> float:
    """Of the latency of static and dynamic int8, on the first clip, one thread."""
    prepared = PreparedModel(model.source)
    feeds = prepared.feeds(model.audio)
    path = quantize_model(prepared, folder / "int8.onnx", "hybrid", feeds).path
    clip = next(iter(feeds))[1]
    with single_file(path) as whole:
        taken = node_milliseconds(whole, clip, threads=1, runs=_RUNS)
    own: dict[str, float] = {}
    for node, ms in taken.items():
        layer = re.match(rf"{re.escape(model.layers)}\.\d+\.", node)
        if layer and any(each in node for each in model.attention):
            own[layer[0]] = own.get(layer[0], 0.0) + ms
    return sum(own.values()) / sum(taken.values()) / len(own) / model.heads


def left_out(found: Mapping[str, Sequence[float]], allowed: float) -> int:
    """How many heads can be left out before their divergences add up to more."""
    costs = np.cumsum(sorted(each for heads in found.values() for each in heads))
    return int(np.searchsorted(costs, allowed, side="right"))


def report(rows: Sequence[Sequence[str]], details: Sequence[Sequence[str]]) -> str:
    """The section of RESULTS.md."""
    allowed = [f"heads within {each:g} nats: latency" for each in ALLOWED]
    return "\n\n".join(
        [
            "## Single attention heads",
            "`python -m benchmarks.attention_heads --data FOLDER`: one head left out of one layer, "
            "all else in float32; the layer that reads the heads makes up for it by least squares "
            "from the others. Divergences in nats (the spotter: per clip; Whisper: per token) are "
            "added up from the cheapest head, as if heads had nothing to do with each other; "
            "latency is that share of int8's (preset `hybrid`) that these heads take by ONNX "
            f"Runtime's profiler. {host()}.",
            table(
                ["model", "heads", "a head's share of latency", "cheapest", "median", *allowed],
                rows,
            ),
            table(["layer", "nats without each head"], details),
        ]
    )


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--clips", default=6, show_default=True, help="Of Whisper's.")
def main(data: Path, clips: int) -> None:
    """Measure, and renew the section in RESULTS.md."""
    if not SPOTTER.exists():
        raise click.ClickException(f"{SPOTTER} is missing: run `make export MODEL={MODEL}` first")
    source = load_keyword_recipe(MODEL / "recipe.toml").sources[0]
    heard = open_part(source, data / "speech_commands", "valid").sample(_CLIPS, 0)
    whisper = calibration(data, "tiny.en")
    models = [
        Model(
            "keyword spotter",
            SPOTTER,
            "encoder.layers",
            (".self_attn.",),
            ".self_attn.linear_out",
            4,
            heard,
            _CLIPS,
        ),
        Model(
            "Whisper tiny.en, encoder",
            float_model("tiny.en"),
            "encoder.layers",
            (".self_attn.", ".transpose4.mixed"),
            ".self_attn.out",
            6,
            whisper,
            clips,
        ),
    ]
    rows, details = [], []
    for model in models:
        found = divergences(model)
        with tempfile.TemporaryDirectory() as folder:
            share = share_of_a_head(model, Path(folder))
        every = sorted(each for heads in found.values() for each in heads)
        counts = [left_out(found, allowed) for allowed in ALLOWED]
        rows.append(
            [
                model.name,
                str(len(every)),
                f"{100 * share:.2f} %",
                f"{every[0]:.4f}",
                f"{np.median(every):.4f}",
                *(f"{count}: -{100 * count * share:.1f} %" for count in counts),
            ]
        )
        details += [
            [name, ", ".join(f"{each:.4f}" for each in heads)] for name, heads in found.items()
        ]
    section = report(rows, details)
    click.echo(section)
    replace_section("attention-heads", section)


if __name__ == "__main__":
    main()
