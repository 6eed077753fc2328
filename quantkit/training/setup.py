"""Build a :class:`~quantkit.training.trainer.Trainer` from a recipe and folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from quantkit.audio.corpora import open_corpus
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import CorpusError, InputError
from quantkit.models.wav2letter import Wav2Letter
from quantkit.tasks.names import ASG
from quantkit.text.labels import Labels
from quantkit.training.clips import ClipPreparer
from quantkit.training.mixture import Mixture, open_source
from quantkit.training.recipe import Alphabet, Recipe, Source
from quantkit.training.trainer import Trainer
from quantkit.training.waveforms import WaveformStore


def source_folder(source: Source, root: Path | None, folders: Mapping[str, Path]) -> Path:
    """Folder of a source's corpus: ``folders[name]``, else below ``root``.

    Raises:
        CorpusError: neither is given.
    """
    if source.name in folders:
        return folders[source.name]
    if root is None:
        raise CorpusError(f"no folder for source {source.name!r}: give --data {source.name}=FOLDER")
    return root / (source.folder or source.name)


def prepare_trainer(
    recipe: Recipe,
    folder: Path,
    *,
    root: Path | None = None,
    folders: Mapping[str, Path] | None = None,
    frontend: Frontend | None = None,
    device: torch.device | None = None,
    on_decoding: Callable[[int, int], None] = lambda done, total: None,
    on_skipped: Callable[[str, Sequence[str]], None] = lambda source, reasons: None,
) -> Trainer:
    """Open every source, decode its audio once into ``folder/audio``, and build the trainer.

    Args:
        folder: where the run keeps its checkpoints and decoded audio.
        root: folder that contains the sources' folders.
        folders: folders of single sources, by source name.
        on_decoding: called with the number of decoded clips and of all clips.
        on_skipped: called with the name of each source with skipped clips, and one ``path: reason``
            for each clip.

    Raises:
        CorpusError: a source is missing, unlabelled or empty.
        InputError: the model's inputs are not the front end's bands.
    """
    frontend = frontend or Frontend()
    if recipe.model.features != frontend.mel_bands:
        raise InputError(
            f"the recipe's model takes {recipe.model.features} features, but the front end gives "
            f"{frontend.mel_bands}"
        )
    training: dict[str, Corpus] = {}
    validation: dict[str, Corpus] = {}
    places = {s.name: source_folder(s, root, folders or {}) for s in recipe.sources}
    labels = _alphabet(recipe.alphabet, places)
    if recipe.criterion == ASG:
        labels = labels.without_blank(recipe.repeats)
    recipe = replace(recipe, model=replace(recipe.model, labels=len(labels)))
    for source in recipe.sources:
        place = places[source.name]
        training[source.name] = open_source(source, place, labels, "train")
        if source.valid_share > 0 or source.valid_split:
            valid = open_source(source, place, labels, "valid")
            valid = valid.sample(recipe.validation_clips, recipe.seed)
            if not any(u.text for u in valid):
                raise CorpusError(
                    f"{place}: the validation clips contain no character to recognise"
                )
            validation[source.name] = valid
    if not validation:
        raise CorpusError("the recipe holds out no validation clips")
    clips = [u for corpus in (*training.values(), *validation.values()) for u in corpus]
    done = 0

    def count(decoded: int) -> None:
        nonlocal done
        done += decoded
        on_decoding(done, len(clips))

    waveforms = WaveformStore(clips, folder / "audio", frontend.sample_rate, count)
    for name in training:
        if reasons := left_out([c[name] for c in (training, validation) if name in c], waveforms):
            on_skipped(name, reasons)
    training = {n: _measured(c, waveforms, frontend) for n, c in training.items()}
    validation = {n: _measured(c, waveforms, frontend) for n, c in validation.items()}
    preparer = ClipPreparer(
        frontend,
        labels,
        waveforms,
        recipe.augment,
        lambda frames: int(Wav2Letter.output_lengths(torch.tensor(frames))),
    )
    mixture = Mixture(recipe.sources, training)
    return Trainer(recipe, mixture, validation, labels, preparer, folder, device)


def _alphabet(alphabet: Alphabet, places: Mapping[str, Path]) -> Labels:
    if alphabet == "english":
        return Labels.english()
    if alphabet == "hw4p2":
        return Labels.hw4p2()
    texts = (u.text or "" for place in places.values() for u in open_corpus(place))
    return Labels.of_texts(texts, " " if alphabet == "phonemes" else "")


def left_out(corpora: Sequence[Corpus], waveforms: WaveformStore) -> list[str]:
    """Why clips of one source are not used, each reason once."""
    reasons = [reason for corpus in corpora for reason in corpus.skipped]
    reasons += [
        waveforms.problem_of(u)
        for corpus in corpora
        for u in corpus
        if u.source is not None and u not in waveforms
    ]
    return list(dict.fromkeys(reasons))


def _measured(corpus: Corpus, waveforms: WaveformStore, frontend: Frontend) -> Corpus:
    """The corpus with exact durations and without unreadable clips."""
    measured: list[Utterance] = []
    for utterance in corpus:
        if utterance.features is not None:
            seconds = frontend.seconds_of(len(utterance.features))
        elif utterance in waveforms:
            seconds = waveforms.length(utterance) / frontend.sample_rate
        else:
            continue
        measured.append(replace(utterance, seconds=seconds))
    if not measured:
        raise CorpusError(f"{corpus.name}: no clip could be decoded")
    return Corpus(corpus.name, tuple(measured), corpus.skipped)
