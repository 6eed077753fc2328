"""Whisper base with only its vocabulary quantized: all rows alike, or in tiers by their use.

Run it from the repository: ``python -m benchmarks.vocabulary_tiers --data FOLDER``, with the
folders that :mod:`benchmarks.whisper` needs. It renews its section of RESULTS.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from benchmarks.balancing import CLIPS, test_feeds
from benchmarks.results import host, replace_section, table
from benchmarks.whisper import calibration, float_model
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import FLOAT32, CodecChoice
from quantkit.graph.artifact import read_info
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.prepared import PreparedModel
from quantkit.report.formatting import estimate
from quantkit.sensitivity.model_divergence import model_divergence

MODEL = "base"
#: The embedding, and the projection that reads the same weight.
LAYERS = ("decoder.embed_tokens", "decoder.projection")
CODECS = (
    "grouped:3",
    "tiered:3,tiers=2048x8",
    "tiered:3,tiers=2048x8+6144x5+16384x4",
    "grouped:4",
    "tiered:3,tiers=4096x8+8192x5+16384x4",
    "tiered:4,tiers=2048x8+8192x5",
    "grouped:5",
    "tiered:5,tiers=2048x8",
    "int8",
)


def settings_for(codec: CodecChoice) -> QuantizeSettings:
    """The vocabulary stored by ``codec``, all else, and all computing, in float32."""
    rules = tuple(LayerRule(name, codec=codec) for name in LAYERS)
    return QuantizeSettings(compute="float32", codec=FLOAT32, rules=rules)


def rows_of(data: Path, folder: Path) -> list[list[str]]:
    """One line for each codec."""
    source = float_model(MODEL)
    heard = CalibrationData(calibration(data, MODEL), read_info(source), source)
    tested = test_feeds(data, MODEL, source)
    prepared = PreparedModel.of(source)
    rows = []
    for codec in map(CodecChoice.parse, CODECS):
        path = folder / "vocabulary.onnx"
        result = quantize_model(prepared, path, settings_for(codec), heard)
        stored = next(row.bytes for row in result.plan.layers if row.name == LAYERS[0])
        found = model_divergence(prepared, path, tested)
        rows.append([f"`{codec}`", f"{stored / 1e6:.2f}", estimate(found.mean, found.interval)])
        click.echo(" | ".join(rows[-1]), err=True)
    return rows


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
def main(data: Path) -> None:
    """Measure, and renew the section in RESULTS.md."""
    with tempfile.TemporaryDirectory(prefix="quantkit-vocabulary-") as folder:
        rows = rows_of(data, Path(folder))
    header = ["codec of the vocabulary", "MB", "nats per token"]
    section = f"""## A vocabulary in tiers

`python -m benchmarks.vocabulary_tiers --data …`: Whisper base with nothing quantized but the weight
that embedding and projection share (51,865 tokens, 106 MB in float32). Tiers go by what was read
and said in the clips that calibrate the [study of Whisper](#whisper-base-errors-size-and-speed).
How far posteriors of the next token move from those of float32, on text that float32 writes for
{CLIPS} other clips of each test set; intervals: 95 %, over windows. {host()}.

{table(header, rows)}
"""
    replace_section("vocabulary-tiers", section)
    click.echo(section)


if __name__ == "__main__":
    main()
