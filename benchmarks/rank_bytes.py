"""Whether lower ranks save bytes better than fewer bits do.

Run it from the repository after ``make export``: ``python -m benchmarks.rank_bytes --data FOLDER``,
with ``librispeech/`` in the folder. It takes some minutes and renews its section of RESULTS.md.

For each budget a file is made with bits alone, others with layers split at ranks chosen by hand,
and one with the ranks that the planner's programme takes where nothing but bytes is limited. In all
of them codecs are chosen layer by layer as ``personalize`` does it, from the same clips.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from benchmarks.low_rank import FITTING, SOURCE
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import score
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import read_info, total_size
from quantkit.graph.plan import Structure
from quantkit.personalization.pipeline import PersonalizeSettings, personalize
from quantkit.planning.latency import LayerTimes, RankTimes
from quantkit.planning.optimal import Planner
from quantkit.planning.structure import choose_structure
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.choices.structure_rules import RankRule
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.structure.layers import Splittable, splittable_layers

BUDGETS = (3_000_000, 2_000_000, 1_500_000)
NONE, FREE = "bits alone", "ranks by the programme"
#: Ranks by hand. The ninth layer has more than half of all weights.
BY_HAND: dict[str, tuple[str, ...]] = {
    NONE: (),
    "layer 9 at 3/4": ("layer9.conv=3/4",),
    "layer 9 at 1/2": ("layer9.conv=1/2",),
    "all layers at 1/2": ("Conv=1/2",),
}
_CLIPS = 32


@dataclass(frozen=True)
class Made:
    """One file.

    Args:
        budget: bytes that it may take.
        name: how its ranks came about.
        structure: of its layers.
        path: of the file.
    """

    budget: int
    name: str
    structure: Mapping[str, Structure]
    path: Path


def without_time(layers: Mapping[str, Splittable], names: Sequence[str]) -> RankTimes:
    """Times of nothing, so that bytes alone decide."""

    def zeros(found: Sequence[str]) -> LayerTimes:
        none = {"float32": 0.0, "static": 0.0}
        rows = dict.fromkeys(found, none)
        return LayerTimes("", "", "", 1, 0.0, 1, rows, {"float32": 0.0, "static": 0.0})

    split = []
    for share in (0.3, 0.8):
        ranks = {name: Structure(layer.nearest(share)) for name, layer in layers.items()}
        parts = [part for name, each in ranks.items() for part in layers[name].parts(name, each)]
        split.append((ranks, zeros([*names, *parts])))
    return RankTimes(zeros(names), tuple(split), layers)


def ranks_for_bytes(source: Path, audio: Corpus, budget: int, cache: Path) -> tuple[RankRule, ...]:
    """What the programme chooses; none where bits alone are predicted to be better."""
    prepared = PreparedModel(source)
    feeds = prepared.feeds(audio)
    settings = preset("static-int8")
    wanted = AnalysisSettings(
        metrics=(), fitting=FITTING, divergence=DivergenceSettings(), ranks=True
    )
    found = analyze(prepared, feeds, wanted, cache=cache)
    planner = Planner.of(prepared, found, settings, fitting=FITTING)
    layers = splittable_layers(prepared.graph())
    times = without_time(layers, list(planner.options))
    chosen = choose_structure(planner, found, times, budget, 1.0, feeds)
    return tuple(
        RankRule.parse(f"{name}={each.inputs}:{each.outputs}")
        for name, each in chosen.model.structure.items()
    )


def make_files(audio: Corpus, folder: Path, budgets: Sequence[int]) -> list[Made]:
    """One for each budget and way."""
    static = preset("static-int8")
    made: list[Made] = []
    for budget in budgets:
        rules = {name: tuple(map(RankRule.parse, texts)) for name, texts in BY_HAND.items()}
        rules[FREE] = ranks_for_bytes(SOURCE, audio, budget, folder / "cache")
        for name, ranks in rules.items():
            if name == FREE and not ranks:
                continue
            click.echo(f"{budget:,} bytes, {name}", err=True)
            path = folder / f"{len(made)}.onnx"
            wanted = PersonalizeSettings(quantize=replace(static, ranks=ranks), fitting=FITTING)
            result = personalize(SOURCE, path, audio, budget, wanted, cache=folder / "cache")
            made.append(Made(budget, name, result.plan.structure, path))
    return made


def report(made: Sequence[Made], dev: Corpus) -> str:
    """The section of RESULTS.md."""
    scores = score([SOURCE, *(each.path for each in made)], dev, "greedy", 0, {})[1:]
    feeds = CalibrationData(dev, read_info(SOURCE))
    rows = []
    for each, scored in zip(made, scores, strict=True):
        moved = model_divergence(SOURCE, each.path, feeds).mean
        low, high = scored.change_ci
        ranks = ", ".join(
            f"{name.removesuffix('.conv')}: {r}" for name, r in each.structure.items()
        )
        rows.append(
            [
                f"{each.budget / 1e6:g} MB",
                each.name,
                f"{total_size(each.path) / 1e6:.3f}",
                f"{moved:.4f}",
                f"{100 * scored.change:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]",
                ranks,
            ]
        )
    free = {each.budget for each in made if each.name == FREE}
    refused = sorted({each.budget for each in made} - free, reverse=True)
    said = (
        ""
        if not refused
        else (
            " Of all ranks the programme itself takes none at "
            + " and ".join(f"{budget / 1e6:g} MB" for budget in refused)
            + ": it predicts that bits alone lose less."
        )
    )
    header = ["budget", "ranks", "MB", "nats per frame", "edits [95 %]", "structure"]
    return "\n\n".join(
        [
            "## Lower ranks or fewer bits at equal bytes",
            "`python -m benchmarks.rank_bytes --data FOLDER`: the shipped model within a budget, "
            f"static, codecs layer by layer as `personalize` chooses them, from {_CLIPS} clips of "
            "LibriSpeech's training speakers; whole, or with layers split at lower ranks first. "
            f"Divergence and edits on {len(dev)} clips of its dev speakers.{said} {host()}.",
            table(header, rows),
        ]
    )


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--budget", "budgets", type=int, multiple=True, default=BUDGETS, show_default=True)
def main(data: Path, budgets: tuple[int, ...]) -> None:
    """Make the files, measure them, and renew RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    speech = open_corpus(data / "librispeech")
    with tempfile.TemporaryDirectory() as folder:
        audio = speech.select(split="train").sample(_CLIPS, 0)
        section = report(make_files(audio, Path(folder), budgets), speech.select(split="dev"))
    click.echo(section)
    replace_section("rank-bytes", section)


if __name__ == "__main__":
    main()
