"""CTC and ASG under the same budget, and which divergence tells how a quantized ASG model errs.

Run it from the repository: ``python -m benchmarks.asg --data FOLDER``, with ``digits/`` in the
folder. It takes a few minutes of a processor and renews its section of RESULTS.md.

The same small Wav2Letter is trained twice on spoken digits, by the recipe's two criteria, with the
same clips in the same order, and quantized in the same ways. The test is takes that neither was
trained on. ``--published`` trains the published network instead, of 250 and 2,000 channels, on read
English and the digits: 23.6 million weights take hours before they spell, so give it steps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

import quantkit
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import Score, score
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import total_size
from quantkit.runtime.recognizer import Recognizer
from quantkit.text.asg import log_posteriors, path_divergence

CODECS = ("int8", "grouped:3", "bitplane:3", "grouped:2", "bitplane:2", "ternary", "binary")
_CALIBRATED = 48
_COMPARED = 100

_RECIPE = """\
criterion = "{criterion}"
steps = {steps}
batch_seconds = 20.0
batch_clips = 32
validate_every = {steps}
validation_clips = 100
freeze_norm_from = 0.9

[model]
width = {width}
head_width = {head_width}
dropout = 0.1
batch_norm = true

[optimizer]
learning_rate = 4e-3

[augment]
padding_seconds = 0.2
time_width = 10
frequency_width = 6

{sources}
[[stage]]
until = 1.0
max_seconds = {max_seconds}
repeats = {{ {repeats} }}
"""


@dataclass(frozen=True)
class Network:
    """What is trained twice.

    Args:
        section: of RESULTS.md.
        title: of it.
        what: in words, behind "a".
        width, head_width: channels of layers 1 to 8, and 9 and 10.
        corpora: trained on, by the split of each that is the test.
        max_seconds: of a training clip.
    """

    section: str
    title: str
    what: str
    width: int
    head_width: int
    max_seconds: float
    corpora: dict[str, str] = field(default_factory=lambda: {"digits": "test"})

    def recipe(self, criterion: str, steps: int) -> str:
        """For ``quantkit train``."""
        sources = "\n".join(
            f'[[source]]\nname = "{name}"\nsplit = "train"\n' for name in self.corpora
        )
        return _RECIPE.format(
            criterion=criterion,
            steps=steps,
            width=self.width,
            head_width=self.head_width,
            sources=sources,
            max_seconds=self.max_seconds,
            repeats=", ".join(f"{name} = 1.0" for name in self.corpora),
        )


SMALL = Network("asg", "CTC and ASG", "small Wav2Letter (64 and 128 channels)", 64, 128, 10.0)
PUBLISHED = Network(
    "asg-published",
    "CTC and ASG, the published network",
    "the published Wav2Letter (250 and 2,000 channels, 23.6 million weights)",
    250,
    2000,
    16.0,
    {"librispeech": "dev", "digits": "test"},
)


@dataclass(frozen=True)
class Divergence:
    """Of a quantized model from its float one, in nats per frame.

    Args:
        emissions: of the softmax of single frames, as every step of quantkit measures it.
        posteriors: of each frame's posteriors over all paths (forward–backward).
        paths: of the distributions of whole paths.
    """

    emissions: float
    posteriors: float
    paths: float


@dataclass(frozen=True)
class Row:
    """One file.

    Args:
        divergence: None for the float model.
        test: name of the corpus that it was scored on.
    """

    criterion: str
    codec: str
    path: Path
    score: Score
    divergence: Divergence | None
    test: str = "digits"


def trained(network: Network, criterion: str, data: Path, folder: Path, steps: int) -> Path:
    """A float artifact."""
    recipe = folder / f"{criterion}.toml"
    recipe.write_text(network.recipe(criterion, steps))
    # A study that was interrupted goes on.
    made = quantkit.train(recipe, data, folder / criterion, resume=True, threads=1)
    path = folder / f"{criterion}-float32.onnx"
    quantkit.export(made.path, path)
    return path


def divergence_of(source: Path, other: Path, corpus: Corpus) -> Divergence:
    """Over some clips."""
    one, two = Recognizer.load(source), Recognizer.load(other)
    assert one.info.frontend is not None
    rate = one.info.frontend.sample_rate
    asg = one.labels.asg
    sums, frames = np.zeros(3), 0
    for clip in corpus:
        heard = [one.features(load_waveform(clip, rate))]
        (mine,), (theirs,) = one.log_probs(heard), two.log_probs(heard)
        sums[0] += _kl(mine, theirs)
        if asg is not None:
            steps = asg.matrix
            sums[1] += _kl(log_posteriors(mine, steps), log_posteriors(theirs, steps))
            sums[2] += path_divergence(mine, theirs, steps)
        frames += len(mine)
    return Divergence(*(sums / frames).tolist())


def _kl(reference: FloatArray, other: FloatArray) -> float:
    wide, less = reference.astype(np.float64), other.astype(np.float64)
    return float((np.exp(wide) * (wide - less)).sum())


def rows_of(
    network: Network,
    criterion: str,
    data: Path,
    folder: Path,
    steps: int,
    codecs: Sequence[str],
    tested: int,
) -> list[Row]:
    """Float model and quantized ones, on each test."""
    source = trained(network, criterion, data, folder, steps)
    paths = [source]
    heard = _first(open_corpus(data / name) for name in network.corpora)
    for codec in codecs:
        paths.append(folder / f"{criterion}-{codec.replace(':', '-')}.onnx")
        choice = CodecChoice.parse(codec)
        settings = quantkit.QuantizeSettings(compute="static", codec=choice)
        calibrated = heard.select(split="train").sample(_CALIBRATED)
        quantkit.quantize(source, paths[-1], settings, calibrated)
    rows = []
    for name, split in network.corpora.items():
        test = open_corpus(data / name).select(split=split).sample(tested)
        scores = score(paths, test, "greedy", 0)
        some = test.sample(_COMPARED)
        rows += [
            Row(
                criterion,
                codec,
                path,
                found,
                None if path is source else divergence_of(source, path, some),
                name,
            )
            for codec, path, found in zip(["float32", *codecs], paths, scores, strict=True)
        ]
    return rows


def _first(corpora: Iterable[Corpus]) -> Corpus:
    return next(iter(corpora))


def correlations(rows: Sequence[Row]) -> tuple[float, float, float]:
    """Spearman's rank correlation of each divergence with the change of edits."""
    quantized = [row for row in rows if row.divergence is not None]
    edits = [row.score.change for row in quantized]
    every = np.array([_figures(row) for row in quantized])
    first, second, third = (_spearman(each, edits) for each in every.T)
    return first, second, third


def _figures(row: Row) -> tuple[float, float, float]:
    assert row.divergence is not None
    return row.divergence.emissions, row.divergence.posteriors, row.divergence.paths


def _spearman(one: Sequence[float], other: Sequence[float]) -> float:
    mine, theirs = (np.argsort(np.argsort(each)) for each in (one, other))
    return float(np.corrcoef(mine, theirs)[0, 1])


def report(rows: Sequence[Row], steps: int, tested: int, network: Network = SMALL) -> str:
    """The section."""
    header = ["criterion", "weights", "MB", "CER [95 %]", "WER", "change of edits [95 %]"]
    header += ["frames", "posteriors", "paths"]
    cells = []
    for row in rows:
        accuracy, (low, high) = row.score.accuracy, row.score.change_ci
        ci = accuracy.cer_ci or (0.0, 0.0)
        change = f"{row.score.change:+.1%} [{low:+.1%}, {high:+.1%}]"
        figures = ["", "", ""]
        if row.divergence is not None:
            figures = [f"{each:.4f}" if each else "" for each in _figures(row)]
        cells.append(
            [
                row.criterion.upper(),
                f"`{row.codec}`",
                f"{total_size(row.path) / 1e6:.2f}",
                f"{accuracy.cer or 0:.1%} [{ci[0]:.1%}, {ci[1]:.1%}]",
                f"{accuracy.wer or 0:.1%}",
                "–" if row.divergence is None else change,
                *figures,
            ]
        )
    asg = [row for row in rows if row.criterion == "asg"]
    told = ", ".join(f"{each:.2f}" for each in correlations(asg))
    if len(network.corpora) > 1:
        header.insert(1, "test")
        for line, row in zip(cells, rows, strict=True):
            line.insert(1, row.test)
    option = "" if network is SMALL else " --published"
    tests = ", ".join(f"`{name}` ({split})" for name, split in network.corpora.items())
    return f"""## {network.title}

`python -m benchmarks.asg{option}`: a {network.what}, trained twice for {steps}
steps of at most 20 s of {" and ".join(network.corpora)}, once with CTC, once with ASG, by the
same recipe. So little training says which criterion learns
faster, and nothing of what they come to. One seed. Tests are {tested} clips at most of
{tests}, decoded greedily; calibrated on {_CALIBRATED} clips,
all layers static, all weights of one codec.
Divergences are in nats per frame over {_COMPARED} of the clips: of the outputs of single
frames (`frames`), of each frame's posteriors over all paths, and of whole paths. Spearman's rank
correlation with the change of edits, over the {len(asg) - 1} quantized ASG models, in this order:
{told}. {host()}.

{table(header, cells)}
"""


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--steps", type=int, default=1000, show_default=True, help="Of each training.")
@click.option("--tested", type=int, default=300, show_default=True, help="Takes.")
@click.option("--published", is_flag=True, help="Train the published network.")
@click.option("--codec", "codecs", multiple=True, help="Default: all.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("--print-only", is_flag=True, help="Leave RESULTS.md as it is.")
def main(
    data: Path,
    steps: int,
    tested: int,
    published: bool,
    codecs: tuple[str, ...],
    work: Path | None,
    print_only: bool,
) -> None:
    """Train twice, quantize, compare, and renew the section."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        chosen, network = codecs or CODECS, PUBLISHED if published else SMALL
        rows = [
            row
            for criterion in ("ctc", "asg")
            for row in rows_of(network, criterion, data, folder, steps, chosen, tested)
        ]
        section = report(rows, steps, tested, network)
    click.echo(section)
    if not print_only:
        replace_section(network.section, section)


if __name__ == "__main__":
    main()
