"""Accuracy of the shipped Wav2Letter and its variants on speech that training never heard.

Run it from the repository after ``make bench``:
``python -m benchmarks.shipped_model --data FOLDER``, with ``librispeech/``, ``speech_commands/``
and ``digits/`` in the folder. It renews its section of RESULTS.md, and the tables of the README
and of the checkpoint's card. Without a folder it only prints what ``calibration_data`` gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from benchmarks.recipes import sources_of
from benchmarks.results import host, replace_section, table
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.benchmarking.accuracy import Accuracy, accuracy_of, iter_clips, transcribe_in_turns
from quantkit.benchmarking.contestant import open_contestants
from quantkit.benchmarking.schema import BenchReport, read_report
from quantkit.benchmarking.sweep import sweep_batch_sizes
from quantkit.graph.artifact import total_size
from quantkit.report.formatting import Interval
from quantkit.runtime.recognizer import Recognizer
from quantkit.text.decoding import Decoding
from quantkit.text.distances import bootstrap_interval
from quantkit.training.mixture import open_source

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "wav2letter-en"
BUILD = ROOT / "build" / MODEL.name
VARIANTS = ("float32", "int8", "semi-int8", "skip-ends", "static-int8", "dynamic-int8")
SWEEP_SIZES = (1, 8, 16, 32, 64)


@dataclass(frozen=True)
class Score:
    """One model on one corpus.

    Args:
        change: relative change of the mean Levenshtein distance against the first model.
        change_ci: its 95 % interval, by paired bootstrap over utterances.
    """

    model: str
    accuracy: Accuracy
    change: float
    change_ci: Interval


def test_sets(data: Path | None) -> dict[str, Corpus]:
    """The corpora to score on, by name; none of their speakers, takes or texts was trained on."""
    sets: dict[str, Corpus] = {}
    if data is not None:
        sources = sources_of(MODEL)
        sets["LibriSpeech, dev speakers"] = open_corpus(data / "librispeech").select(split="dev")
        labels = Recognizer.load(BUILD / "float32.onnx").labels
        commands = open_source(sources["speech_commands"], data / "speech_commands", labels, "test")
        words = tuple(u for u in commands if u.text)
        sets["speech commands, held-out speakers"] = replace(commands, utterances=words)
        sets["digits, test takes"] = open_corpus(data / "digits").select(split="test")
        # They have no speaker, and none of them was trained on.
        noise = tuple(u for u in commands if not u.text)
        sets["background noise, nobody speaks"] = replace(commands, utterances=noise)
    sets["synthetic (calibration_data, test)"] = open_corpus(ROOT / "calibration_data").select(
        split="test"
    )
    return sets


def score(
    paths: list[Path],
    corpus: Corpus,
    decoder: str,
    seed: int,
    others: Mapping[str, Recognizer] | None = None,
) -> list[Score]:
    """Recognise ``corpus`` with every model, clip by clip.

    Args:
        others: further models by name, which take what the first takes.
    """
    contestants = open_contestants(paths, 1, Decoding(decoder))
    for name, model in (others or {}).items():
        contestants.append(replace(contestants[0], name=name, model=model))
    scoring = contestants[0].model.scoring
    transcripts = transcribe_in_turns(
        contestants,
        iter_clips(contestants, corpus, []),
        lambda done, total: None,
        len(corpus),
    )
    first = [u.distance for u in transcripts[0].utterances]
    mean = max(1e-9, sum(first) / len(first))
    scores = []
    for contestant, result in zip(contestants, transcripts, strict=True):
        differences = [u.distance - f for u, f in zip(result.utterances, first, strict=True)]
        low, high = bootstrap_interval(differences, seed=seed)
        scores.append(
            Score(
                contestant.name,
                accuracy_of(result.utterances, scoring, seed),
                sum(differences) / len(differences) / mean,
                (low / mean, high / mean),
            )
        )
    return scores


def model_table(results: dict[str, list[Score]], clips: dict[str, int]) -> str:
    """How good the float32 model is on every corpus."""
    rows = []
    for name, scores in results.items():
        first = scores[0].accuracy
        rows.append(
            [
                name,
                str(clips[name]),
                _character_errors(first),
                _interval(first.levenshtein, first.levenshtein_ci),
            ]
        )
    header = ["corpus", "clips", "CER [95 %]", "mean Levenshtein [95 %]"]
    return table(header, rows)


def variant_table(paths: list[Path], results: dict[str, list[Score]], bench: BenchReport) -> str:
    """What every variant costs, and what it loses on the first corpus."""
    name, scores = next(iter(results.items()))
    measured = {model.name: model for model in bench.models}
    rows = [
        [
            s.model,
            f"{total_size(path) / 1e6:.1f}",
            f"{measured[s.model].speedup:.1f}×",
            _character_errors(s.accuracy),
            "–" if s is scores[0] else _change(s),
        ]
        for path, s in zip(paths, scores, strict=True)
    ]
    return table(["variant", "MB", "faster", f"CER, {name}", "change of edit distance"], rows)


def batch_table(paths: list[Path], corpus: Corpus, decoder: str) -> str:
    """Mean Levenshtein distance at every batch size, and how many transcripts changed."""
    contestants = open_contestants(paths, 1, Decoding(decoder))
    clips = list(iter_clips(contestants, corpus, []))
    rows = sweep_batch_sizes(contestants, clips, SWEEP_SIZES, lambda done, total: None)
    lines = []
    for contestant, sizes in zip(contestants, rows, strict=True):
        cells = [
            f"{row.levenshtein or 0.0:.3f} ({row.utterances - row.identical})" for row in sizes
        ]
        lines.append([contestant.name, *cells])
    return table(["variant", *(f"batch {size}" for size in SWEEP_SIZES)], lines)


def score_table(scores: list[Score]) -> str:
    """One row for each model."""
    return table(
        ["variant", "CER", "WER", "mean Levenshtein", "CTC loss", "change of Levenshtein"],
        [
            [
                s.model,
                _character_errors(s.accuracy),
                f"{s.accuracy.wer:.1%}" if s.accuracy.wer and _has_text(s.accuracy) else "–",
                _interval(s.accuracy.levenshtein, s.accuracy.levenshtein_ci),
                f"{s.accuracy.loss:.3f}" if s.accuracy.loss is not None else "–",
                _change(s),
            ]
            for s in scores
        ],
    )


def _change(score: Score) -> str:
    low, high = score.change_ci
    return f"{score.change:+.1%} [{low:+.1%}, {high:+.1%}]"


def _has_text(accuracy: Accuracy) -> bool:
    return accuracy.cer_edits is not None and accuracy.cer_edits.reference_length > 0


def _character_errors(accuracy: Accuracy) -> str:
    """CER with its interval; a share of no characters at all is no figure."""
    if accuracy.cer is None or accuracy.cer_ci is None or not _has_text(accuracy):
        return "–"
    low, high = accuracy.cer_ci
    return f"{accuracy.cer:.1%} [{low:.1%}, {high:.1%}]"


def _interval(value: float | None, interval: Interval | None) -> str:
    if value is None or interval is None:
        return "–"
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--decoder", default="beam", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(data: Path | None, decoder: str, seed: int) -> None:
    """Score every variant on every test set and renew RESULTS.md."""
    paths = [BUILD / f"{name}.onnx" for name in VARIANTS]
    if missing := [path for path in paths if not path.exists()]:
        raise click.ClickException(f"{missing[0]} is missing: run `make bench` first")
    parts = [
        "## The shipped model on speech that training never heard",
        f"`python -m benchmarks.shipped_model --data FOLDER`, decoder {decoder}. 95 % bootstrap "
        "intervals over utterances; changes are against float32, paired by utterance. "
        f"{host()}.",
    ]
    results: dict[str, list[Score]] = {}
    sets = test_sets(data)
    for name, corpus in sets.items():
        click.echo(f"{name}: {len(corpus)} clips", err=True)
        results[name] = score(paths, corpus, decoder, seed)
        parts += [f"### {name}: {len(corpus)} clips", score_table(results[name])]
    name, corpus = next(iter(sets.items()))
    sample = replace(corpus, utterances=tuple(sorted(corpus, key=lambda u: u.identifier)))
    parts += [
        f"### Batch size, {name}",
        "Mean Levenshtein distance, and in brackets how many transcripts differ from batch 1. "
        "`int8`, `semi-int8` and `skip-ends` find one activation range per padded batch, as the "
        "source work's did; `dynamic-int8` one per clip, padding after layer 8 included.",
        batch_table(paths, sample.sample(64, seed), decoder),
    ]
    if data is not None:
        replace_section("shipped-model", "\n\n".join(parts))
        quality = model_table(results, {name: len(corpus) for name, corpus in sets.items()})
        replace_section("results", quality, MODEL / "README.md")
        replace_section("model", quality, ROOT / "README.md")
        bench = read_report(ROOT / "build" / "report" / "bench.json")
        replace_section("variants", variant_table(paths, results, bench), ROOT / "README.md")
    click.echo("\n\n".join(parts))


if __name__ == "__main__":
    main()
