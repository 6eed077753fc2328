"""An ``.onnx`` that quantkit did not export, personalised: what was foretold, and what it lost.

Run it from the repository: ``python -m benchmarks.foreign_model --data FOLDER``, with
``speech_commands/`` in the folder. PyTorch's own exporter writes the shipped keyword spotter as it
comes, with none of quantkit's adapters; from there on there is only that file and its labels. The
script renews its section of RESULTS.md, and fails where a file loses more than was foretold: on the
clips that were heard, or on average over those of other people.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, Wav2Vec2ConformerForSequenceClassification

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import HeldOut
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.graph.artifact import read_info, total_size
from quantkit.personalization.pipeline import personalize
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.text.distances import bootstrap_interval
from quantkit.training.keywords.recipe import load_keyword_recipe
from quantkit.training.keywords.speakers import open_part

MODEL = ROOT / "models" / "keywords-en"
#: Bytes; float32 takes 10 MB, and no plan leads below 1.3 MB.
BUDGETS = (3_000_000, 1_600_000)
CALIBRATION_CLIPS, TEST_CLIPS = 64, 600
SAMPLE_RATE = 16_000
#: Of what was foretold, what a file may diverge more on the clips that were heard.
ALLOWED = 0.1


class Scores(torch.nn.Module):
    """Waveforms, as loud as they come, to one score for each class."""

    def __init__(self, model: Wav2Vec2ConformerForSequenceClassification, normalise: bool) -> None:
        super().__init__()
        self.model, self.normalise = model, normalise

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, classes)."""
        if self.normalise:
            centred = waveform - waveform.mean(-1, keepdim=True)
            waveform = centred / (centred.square().mean(-1, keepdim=True) + 1e-7).sqrt()
        scores: Tensor = self.model(waveform).logits
        return scores


@dataclass(frozen=True)
class Loss:
    """What became of one budget.

    Args:
        bytes: of the file.
        foretold: divergence in nats per clip that the plan predicted.
        heard: of the finished file, on the clips that it was made with.
        tested: on clips of other people.
        errors: 1 for each of those whose keyword was missed.
    """

    bytes: int
    foretold: Estimate
    heard: Estimate
    tested: Estimate
    errors: Sequence[int]


def export_elsewhere(folder: Path) -> Path:
    """The shipped checkpoint through PyTorch's exporter, and its labels beside it."""
    model = Wav2Vec2ConformerForSequenceClassification.from_pretrained(MODEL).eval()
    normalise = bool(AutoFeatureExtractor.from_pretrained(MODEL).do_normalize)
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The exporter that most files out there came from; the newer one fails on this attention.
        torch.onnx.export(
            Scores(model, normalise),
            (torch.randn(2, SAMPLE_RATE),),
            str(folder / "theirs.onnx"),
            dynamo=False,
            input_names=["waveform"],
            output_names=["logits"],
            dynamic_axes={"waveform": {0: "batch", 1: "samples"}, "logits": {0: "batch"}},
            opset_version=18,
        )
    logging.disable(logging.NOTSET)
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    return folder / "theirs.onnx"


def measure(data: Path, folder: Path) -> tuple[int, Sequence[int], dict[int, Loss]]:
    """Bytes and errors of the float model, and what became of each budget."""
    theirs, source = export_elsewhere(folder), folder / "adopted.onnx"
    options = ExportOptions(task="classification", labels=folder / "labels.txt")
    export_source(str(theirs), source, options)
    recipe = load_keyword_recipe(MODEL / "recipe.toml")
    part = open_part(recipe.sources[0], data / "speech_commands", "test")
    heard, tested = _halves(part)
    info = read_info(source)
    own, others = (CalibrationData(clips, info, source) for clips in (heard, tested))
    scored = HeldOut(source, tested)
    found = {}
    for budget in BUDGETS:
        path = folder / f"{budget}.onnx"
        made = personalize(source, path, heard, budget).summary
        found[budget] = Loss(
            total_size(path),
            Estimate(made.predicted_divergence or 0.0, made.predicted_interval),
            model_divergence(source, path, own),
            model_divergence(source, path, others),
            scored.score(path).edits,
        )
    return total_size(source), scored.float_score.edits, found


def _halves(part: Corpus) -> tuple[Corpus, Corpus]:
    """Clips to calibrate, and clips of other people to test."""
    people = sorted({clip.speaker or clip.identifier for clip in part})
    first = set(people[::2])
    one = tuple(clip for clip in part if (clip.speaker or clip.identifier) in first)
    other = tuple(clip for clip in part if (clip.speaker or clip.identifier) not in first)
    return (
        Corpus("calibration", one).sample(CALIBRATION_CLIPS),
        Corpus("test", other).sample(TEST_CLIPS),
    )


def report(size: int, errors: Sequence[int], found: dict[int, Loss]) -> str:
    """The section of RESULTS.md."""
    rows = [["float32", f"{size / 1e6:.2f}", "", "", "", _accuracy(errors), ""]]
    for budget, loss in found.items():
        change = np.array(errors) - np.array(loss.errors)
        low, high = bootstrap_interval(change)
        rows.append(
            [
                f"{budget / 1e6:.1f} MB",
                f"{loss.bytes / 1e6:.2f}",
                _divergence(loss.foretold),
                _divergence(loss.heard),
                _divergence(loss.tested),
                _accuracy(loss.errors),
                f"{100 * change.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
            ]
        )
    header = ["budget", "MB on disk", "foretold", "heard", "tested", "accuracy %", "change, points"]
    return f"""## A model that quantkit did not export

`python -m benchmarks.foreign_model --data …`: the shipped keyword spotter, written by
`torch.onnx.export` without any of quantkit's adapters, then `export --labels --task
classification` and `personalize` with {CALIBRATION_CLIPS} unlabelled clips. Divergence in nats per
clip: what the plan foretold, what the finished file has on the clips that were heard, and on
{len(errors)} clips of other people; accuracy on those, and its change from float32. Intervals:
95 %, bootstrap over clips, studentised for divergences: a few clips that the model is unsure of
make up most of them.
{host()}.

{table(header, rows)}
"""


def _divergence(found: Estimate) -> str:
    text = f"{found.mean:.4f}"
    return text if found.interval is None else text + " [{:.4f}, {:.4f}]".format(*found.interval)


def _accuracy(errors: Sequence[int]) -> str:
    right = 1.0 - np.array(errors, float)
    low, high = bootstrap_interval(right)
    return f"{100 * right.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]"


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
def main(data: Path) -> None:
    """Export elsewhere, adopt, personalise, and renew the section in RESULTS.md."""
    with tempfile.TemporaryDirectory(prefix="quantkit-foreign-") as folder:
        size, errors, found = measure(data, Path(folder))
    section = report(size, errors, found)
    replace_section("foreign-model", section)
    click.echo(section)
    for budget, loss in found.items():
        if loss.heard.mean > (1 + ALLOWED) * loss.foretold.mean:
            raise click.ClickException(
                f"at {budget:,} bytes the file diverges by {_divergence(loss.heard)} nats on the "
                f"clips that were heard, and {_divergence(loss.foretold)} were foretold"
            )
        if loss.foretold.interval is None or loss.tested.mean > loss.foretold.interval[1]:
            raise click.ClickException(
                f"at {budget:,} bytes the file diverges by {_divergence(loss.tested)} nats on "
                f"others' clips, and {_divergence(loss.foretold)} were foretold"
            )


if __name__ == "__main__":
    main()
