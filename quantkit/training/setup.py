"""Build the trainer of a model that writes text from a recipe and folders."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch

from quantkit.audio.corpora import open_corpus
from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.errors import CorpusError, InputError
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.tasks.names import ASG
from quantkit.text.labels import Labels
from quantkit.training.clips import ClipPreparer
from quantkit.training.mixture import Clip, Mixture, joined, open_source
from quantkit.training.recipe import Alphabet, ModelSize, Recipe, Source
from quantkit.training.sequence_trainer import SequenceTrainer, TrainingData
from quantkit.training.trainer import Trainer
from quantkit.training.transducers.settings import RnntSettings
from quantkit.training.wav2vec2.settings import Wav2Vec2Settings
from quantkit.training.waveforms import WaveformStore


class _Kind(NamedTuple):
    """What follows from the model that a recipe trains.

    Args:
        frontend: whose features it takes.
        fits: see :class:`~quantkit.training.clips.ClipPreparer`.
        trainer: its class.
        joins: whether validation clips are joined as clips to train on are.
        preparer: class of what makes its batches.
    """

    frontend: AnyFrontend
    fits: Callable[[int, Sequence[int]], bool]
    trainer: Callable[..., SequenceTrainer[Any]]
    joins: bool
    preparer: Callable[..., ClipPreparer] = ClipPreparer


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
    frontend: AnyFrontend | None = None,
    device: torch.device | None = None,
    on_decoding: Callable[[int, int], None] = lambda done, total: None,
    on_skipped: Callable[[str, Sequence[str]], None] = lambda source, reasons: None,
) -> SequenceTrainer[Any]:
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
    kind = _kind_of(recipe.model, frontend)
    frontend = kind.frontend
    training: dict[str, Corpus] = {}
    validation: dict[str, Corpus] = {}
    places = {s.name: source_folder(s, root, folders or {}) for s in recipe.sources}
    labels = _alphabet(recipe.alphabet, places)
    if recipe.criterion == ASG:
        labels = labels.without_blank(recipe.repeats)
    if isinstance(recipe.model, Wav2LetterConfig):
        recipe = replace(recipe, model=replace(recipe.model, labels=len(labels)))
    for source in recipe.sources:
        place = places[source.name]
        training[source.name] = open_source(source, place, labels, "train")
        if source.valid_share > 0 or source.valid_split:
            valid = open_source(source, place, labels, "valid")
            if not kind.joins:
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
    preparer = kind.preparer(frontend, labels, waveforms, recipe.augment, kind.fits)
    mixture = Mixture(recipe.sources, training)
    held_out = {
        source.name: _validation_clips(recipe, source, validation[source.name], kind.joins)
        for source in recipe.sources
        if source.name in validation
    }
    data = TrainingData(mixture, held_out, labels, preparer)
    return kind.trainer(recipe, data, folder, device)


def _kind_of(model: ModelSize, frontend: AnyFrontend | None) -> _Kind:
    """
    Raises:
        InputError: the model's inputs are not the front end's bands.
    """
    if isinstance(model, RnntSettings):
        # Its libraries take seconds to import.
        from quantkit.training.transducers.trainer import TransducerTrainer

        frontend = frontend or NemoFrontend(mel_bands=model.mel_bands)
        # A frame may add any number of labels.
        return _Kind(frontend, lambda frames, target: frames > 0, TransducerTrainer, joins=True)
    if isinstance(model, Wav2Vec2Settings):
        from quantkit.training.wav2vec2.clips import WaveformPreparer
        from quantkit.training.wav2vec2.trainer import Wav2Vec2Trainer

        samples = frontend or WaveformFrontend(window=model.window)
        fits = partial(_has_ctc_path, model.frames_of)
        return _Kind(samples, fits, Wav2Vec2Trainer, joins=True, preparer=WaveformPreparer)
    features = frontend or Frontend()
    bands = getattr(features, "mel_bands", 0)
    if model.features != bands:
        raise InputError(
            f"the recipe's model takes {model.features} features, but the front end gives {bands}"
        )
    return _Kind(features, partial(_has_ctc_path, _wav2letter_frames), Trainer, joins=False)


def _wav2letter_frames(frames: int) -> int:
    return int(Wav2Letter.output_lengths(torch.tensor(frames)))


def _has_ctc_path(outputs: Callable[[int], int], frames: int, target: Sequence[int]) -> bool:
    """Whether the output frames of a model hold every label, and a blank between equal ones.

    Args:
        outputs: how many frames of output so many of input have.
    """
    repeats = sum(a == b for a, b in pairwise(target))
    return outputs(frames) >= len(target) + repeats


def _validation_clips(recipe: Recipe, source: Source, corpus: Corpus, joins: bool) -> list[Clip]:
    if not joins:
        return [(utterance,) for utterance in corpus]
    rng = random.Random(recipe.seed)
    utterances = rng.sample(corpus.utterances, len(corpus))
    longest = max(stage.max_seconds for stage in recipe.stages)
    clips = joined(utterances, source, longest, rng)
    return rng.sample(clips, min(len(clips), recipe.validation_clips))


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


def _measured(corpus: Corpus, waveforms: WaveformStore, frontend: AnyFrontend) -> Corpus:
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
