"""A real Whisper in the programs that ``ship --profile`` is for: do they write the same?

Run it from the repository, with the extra ``clients`` and after ``make clients``: ``python -m
benchmarks.whisper_programs --data DIR``. ``DIR`` has ``librispeech``, on whose `dev` clips words
are counted. The float32 model and one that is personalised to a size are shipped for sherpa-onnx,
onnx-asr and transformers.js; each program opens its folder, and quantkit's own runner hears the
same clips. It renews its section of RESULTS.md. Weights are fetched by
:mod:`benchmarks.whisper_weights`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

import quantkit
from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import word_error_rate
from benchmarks.whisper import calibration, float_model, personalised
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.calibration.data import CalibrationData
from quantkit.errors import ModelError
from quantkit.graph.artifact import model_files, read_info, total_size
from quantkit.text.decoding import Decoding
from quantkit.text.scoring import WrittenTextScoring

RATE = 16_000
MODULES = ROOT / "build" / "clients" / "node_modules"
LICENCE = "MIT License: https://github.com/openai/whisper\n"
#: No beam, no second try at another temperature: what all four programs can do.
PLAIN = Decoding(language="en", temperatures=(0.0,))
_SCORING = WrittenTextScoring()

Hear = Callable[[Sequence[FloatArray]], list[str]]


@dataclass(frozen=True)
class Row:
    """One folder in the program that it was made for.

    Args:
        program: with its version.
        name: of the model in it.
        megabytes: of its graphs.
        texts: clip by clip, normalised.
    """

    program: str
    name: str
    megabytes: float
    texts: list[str]


def in_sherpa_onnx(folder: Path) -> Hear:
    """sherpa-onnx on the folder."""
    import sherpa_onnx

    recognizer: Any = sherpa_onnx.OfflineRecognizer.from_whisper(
        encoder=str(folder / "model-encoder.onnx"),
        decoder=str(folder / "model-decoder.onnx"),
        tokens=str(folder / "model-tokens.txt"),
        language="en",
    )

    def hear(clips: Sequence[FloatArray]) -> list[str]:
        texts = []
        for clip in clips:
            stream = recognizer.create_stream()
            stream.accept_waveform(RATE, clip)
            recognizer.decode_stream(stream)
            texts.append(str(stream.result.text))
        return texts

    return hear


def in_onnx_asr(folder: Path) -> Hear:
    """onnx-asr on the folder."""
    import onnx_asr

    model: Any = onnx_asr.load_model("whisper", folder)
    return lambda clips: [
        str(model.recognize(clip, sample_rate=RATE, language="en")) for clip in clips
    ]


def in_transformers_js(folder: Path) -> Hear:
    """transformers.js on the folder, in Node."""
    settings = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    # It refuses to be told the language of an English-only model.
    options = {"language": "en"} if settings.get("is_multilingual") else {}

    def hear(clips: Sequence[FloatArray]) -> list[str]:
        with tempfile.TemporaryDirectory() as scratch:
            paths = []
            for number, clip in enumerate(clips):
                paths.append(Path(scratch) / f"{number}.f32")
                paths[-1].write_bytes(clip.astype("<f4").tobytes())
            program = Path(__file__).with_suffix(".mjs")
            command = ["node", str(program), str(MODULES), str(folder), json.dumps(options)]
            command += map(str, paths)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise click.ClickException(done.stderr[-2_000:])
        texts: list[str] = json.loads(done.stdout.splitlines()[-1])
        return texts

    return hear


PROGRAMS: dict[str, Callable[[Path], Hear]] = {
    "sherpa-onnx": in_sherpa_onnx,
    "onnx-asr": in_onnx_asr,
    "transformers.js": in_transformers_js,
}


def version_of(program: str) -> str:
    """Of the release that is installed."""
    if program == "transformers.js":
        package = MODULES / "@huggingface" / "transformers" / "package.json"
        found: str = json.loads(package.read_text(encoding="utf-8"))["version"]
        return found
    return version(program)


def here(path: Path, clips: Sequence[FloatArray]) -> list[str]:
    """What quantkit's own runner writes."""
    model = quantkit.load(path, decoding=PLAIN)
    return [model.transcribe(clip, RATE).text for clip in clips]


def measured(paths: dict[str, Path], clips: Sequence[FloatArray], scratch: Path) -> list[Row]:
    """Each model here, and in each program."""
    licence = scratch / "LICENCE"
    licence.write_text(LICENCE, encoding="utf-8")
    rows = []
    for name, path in paths.items():
        rows.append(Row("quantkit", name, total_size(path) / 1e6, _normalised(here(path, clips))))
        for program, opened in PROGRAMS.items():
            folder = scratch / f"{program}-{len(rows)}"
            try:
                made = quantkit.ship(path, folder, licence=licence, profile=program).path
            except ModelError as error:
                # An English-only model is not for all of them, and the error says so.
                click.echo(str(error), err=True)
                continue
            graphs = [graph for each in made.rglob("*.onnx") for graph in model_files(each)]
            size = sum(graph.stat().st_size for graph in set(graphs)) / 1e6
            texts = _normalised(opened(made)(clips))
            rows.append(Row(f"{program} {version_of(program)}", name, size, texts))
            click.echo(f"{name}: {program}", err=True)
    return rows


def _normalised(texts: Sequence[str]) -> list[str]:
    return [_SCORING.normalized(text) for text in texts]


def report(rows: Sequence[Row], meant: Sequence[str], model: str, arguments: str) -> str:
    """The section of RESULTS.md."""
    ours = {row.name: row.texts for row in rows if row.program == "quantkit"}
    cells = []
    for row in rows:
        same = sum(one == other for one, other in zip(row.texts, ours[row.name], strict=True))
        cells.append(
            [
                row.name,
                row.program,
                f"{row.megabytes:.1f}",
                word_error_rate(meant, row.texts),
                "–" if row.program == "quantkit" else f"{same} of {len(meant)}",
            ]
        )
    header = ["model", "program", "MB", "WER [95 %]", "clips of the same words as here"]
    programs = {row.program.split()[0] for row in rows}
    missing = [program for program in PROGRAMS if program not in programs]
    refused = (
        f" {missing[0]} loads no English-only model, and `ship` refuses it." if missing else ""
    )
    return f"""## Whisper {model} in other programs

`python -m benchmarks.whisper_programs {arguments}`: real weights, as folders that `quantkit ship
--profile` writes for each program, on {len(meant)} clips of LibriSpeech's dev speakers, greedy,
with no second try at another temperature. Texts are compared after Whisper's English normalisation.
Sizes are of the graphs in the folder. sherpa-onnx ends the encoder's window ten seconds behind the
clip, where the others hear thirty seconds.{refused} {host()}.

{table(header, cells)}
"""


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option(
    "--model", type=click.Choice(["tiny.en", "base"]), default="tiny.en", show_default=True
)
@click.option("--budget", default=24e6, show_default=True, help="Bytes of the small file.")
@click.option("--tested", default=40, show_default=True, help="Clips to compare.")
@click.option("--print-only", is_flag=True, help="Leave RESULTS.md as it is.")
def main(data: Path, model: str, budget: float, tested: int, print_only: bool) -> None:
    """Compare, and renew the section in RESULTS.md."""
    test = open_corpus(data / "librispeech").select(split="dev").sample(tested)
    clips = [load_waveform(clip, RATE) for clip in test]
    meant = _normalised([clip.text or "" for clip in test])
    source = float_model(model)
    heard = CalibrationData.of(calibration(data, model), read_info(source), source)
    small = personalised(source, int(budget), heard)
    paths = {"float32": source, f"{budget / 1e6:g} MB": small}
    with tempfile.TemporaryDirectory() as scratch:
        rows = measured(paths, clips, Path(scratch))
    section = report(rows, meant, model, f"--model {model} --tested {tested}")
    click.echo(section)
    if not print_only:
        replace_section("whisper-programs", section)


if __name__ == "__main__":
    main()
