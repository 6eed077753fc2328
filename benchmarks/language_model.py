"""The shipped Wav2Letter with its language model over words, and without.

Run it from the repository after ``make export``: ``python -m benchmarks.language_model --data
FOLDER``, with ``librispeech/``, ``speech_commands/`` and ``digits/`` in the folder. The model's
weight and the score of a word are chosen on clips of training speakers that are held out, and then
used as they are. It renews its section of RESULTS.md and of the checkpoint's card.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import click

from benchmarks.recipes import sources_of
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import BUILD, MODEL, test_sets
from quantkit.audio.utterance import Corpus
from quantkit.benchmarking.accuracy import Accuracy, accuracy_of, iter_clips, transcribe_in_turns
from quantkit.benchmarking.contestant import open_contestants
from quantkit.runtime.recognizer import Recognizer
from quantkit.text.decoding import Decoding
from quantkit.training.mixture import open_source

WORDS = MODEL / "words.arpa"
_WEIGHTS, _WORD_SCORES = (0.3, 0.5, 0.8), (-2.0, -1.0)
_WIDTH = 100


def heard(corpus: Corpus, decoding: Decoding, seed: int) -> tuple[Accuracy, float]:
    """Accuracy, and processor seconds of model and decoder for each second of audio."""
    contestants = open_contestants([BUILD / "float32.onnx"], 1, decoding)
    clips = iter_clips(contestants, corpus, [])
    begin = time.process_time()
    (found,) = transcribe_in_turns(contestants, clips, lambda done, total: None, len(corpus))
    taken = time.process_time() - begin
    accuracy = accuracy_of(found.utterances, contestants[0].model.scoring, seed)
    return accuracy, taken / sum(u.seconds for u in corpus)


def chosen(data: Path, clips: int, seed: int) -> Decoding:
    """The weight and the score with the least sum of both error rates on held-out clips.

    Fewest word errors alone are had by weights that guess words, at the expense of letters.
    """
    source = sources_of(MODEL)["librispeech"]
    labels = Recognizer.load(BUILD / "float32.onnx").labels
    valid = open_source(source, data / "librispeech", labels, "valid").sample(clips, seed)
    best, fewest = Decoding(), float("inf")
    for weight, word_score in product(_WEIGHTS, _WORD_SCORES):
        tried = Decoding("beam", _WIDTH, WORDS, weight, word_score)
        accuracy, _ = heard(valid, tried, seed)
        click.echo(
            f"weight {weight}, word score {word_score}: WER {accuracy.wer:.1%}, "
            f"CER {accuracy.cer:.1%}",
            err=True,
        )
        errors = (accuracy.wer or 0.0) + (accuracy.cer or 0.0)
        if errors < fewest:
            best, fewest = tried, errors
    return best


def _rate(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "–"
    return f"{value:.1%} [{interval[0]:.1%}, {interval[1]:.1%}]"


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--tuned-on", default=24, show_default=True, help="Clips to choose the weights on.")
@click.option("--seed", default=0, show_default=True)
def main(data: Path, tuned_on: int, seed: int) -> None:
    """Compare three decoders on every corpus in which somebody speaks."""
    words = chosen(data, tuned_on, seed)
    decoders = {
        "greedy": Decoding(),
        "beam of 20": Decoding("beam"),
        f"beam of {_WIDTH} with `words.arpa`": words,
    }
    rows = []
    for name, corpus in test_sets(data).items():
        spoken = replace(corpus, utterances=tuple(u for u in corpus if u.text))
        if not spoken.utterances:
            continue
        for decoder, decoding in decoders.items():
            accuracy, seconds = heard(spoken, decoding, seed)
            rows.append(
                [
                    f"{name}, {len(spoken)} clips",
                    decoder,
                    _rate(accuracy.cer, accuracy.cer_ci),
                    _rate(accuracy.wer, accuracy.wer_ci),
                    f"{seconds:.4f}",
                ]
            )
            click.echo(" | ".join(rows[-1]), err=True)
    header = ["corpus", "decoder", "CER [95 %]", "WER [95 %]", "processor s per s"]
    found = table(header, rows)
    size = WORDS.stat().st_size / 1e6
    replace_section(
        "language-model",
        f"""## A language model beside the shipped Wav2Letter

`python -m benchmarks.language_model --data FOLDER`: float32; `words.arpa` of {size:.1f} MB
(trigrams, made by `language_model.sh`), weight {words.lm_weight}, word score {words.word_score},
chosen on {tuned_on} held-out clips of training speakers. 95 % bootstrap intervals over utterances.
{host()}.

{found}""",
    )
    replace_section("words", found, MODEL / "README.md")
    click.echo(found)


if __name__ == "__main__":
    main()
