"""Accuracy of the shipped keyword spotter on people whom it never heard.

Run it from the repository: ``python -m benchmarks.keyword_spotter --data FOLDER``, with
``speech_commands/`` in the folder. It renews the table of the checkpoint's card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.results import replace_section, table
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.text.distances import bootstrap_interval, ratio_interval
from quantkit.training.keywords.checkpoint import load_spotter
from quantkit.training.keywords.evaluation import evaluate
from quantkit.training.keywords.recipe import load_keyword_recipe
from quantkit.training.keywords.speakers import open_part
from quantkit.training.keywords.validation import Accuracy

MODEL = Path(__file__).parents[1] / "models" / "keywords-en"


def accuracy_table(people: Sequence[Accuracy]) -> str:
    """All classes together and each on its own, with 95 % bootstrap intervals.

    Args:
        people: one for each person, or for each clip in which nobody speaks.
    """
    correct: dict[str, list[bool]] = {}
    for person in people:
        for name, clips in person.correct.items():
            correct.setdefault(name, []).extend(clips)
    everything = [found for clips in correct.values() for found in clips]
    counts = [sum(map(len, person.correct.values())) for person in people]
    hits = [sum(map(sum, person.correct.values())) for person in people]
    rows = [
        _row("all", everything, bootstrap_interval([float(found) for found in everything])),
        _row("all, drawn by person", everything, ratio_interval(hits, counts)),
    ]
    for name in sorted(correct):
        found = [float(each) for each in correct[name]]
        rows.append(_row(name, correct[name], bootstrap_interval(found)))
    return table(["class", "clips", "accuracy [95 %]"], rows)


def by_person(corpus: Corpus) -> list[Corpus]:
    """The clips of each person together, and each clip in which nobody speaks on its own."""
    groups: dict[str, list[Utterance]] = {}
    for utterance in corpus:
        groups.setdefault(utterance.speaker or utterance.identifier, []).append(utterance)
    return [replace(corpus, utterances=tuple(group)) for group in groups.values()]


def _row(name: str, correct: list[bool], interval: tuple[float, float]) -> list[str]:
    low, high = interval
    share = sum(correct) / len(correct)
    return [name, f"{len(correct):,}", f"{share:.1%} [{low:.1%}, {high:.1%}]"]


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True
)
def main(data: Path) -> None:
    """Classify the held-out clips and renew the card."""
    recipe = load_keyword_recipe(MODEL / "recipe.toml")
    source = recipe.sources[0]
    corpus = open_part(source, data / (source.folder or source.name), "test")
    people = len({u.speaker for u in corpus if u.speaker})
    spotter = load_spotter(MODEL)
    accuracies = [evaluate(spotter, recipe, group) for group in by_person(corpus)]
    result = f"{people} people:\n\n{accuracy_table(accuracies)}"
    replace_section("results", result, MODEL / "README.md")
    click.echo(result)


if __name__ == "__main__":
    main()
