"""From a recipe and folders to a :class:`~quantkit.training.keywords.trainer.KeywordTrainer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import CorpusError
from quantkit.training.keywords.clips import KeywordPreparer
from quantkit.training.keywords.recipe import KeywordRecipe
from quantkit.training.keywords.speakers import open_part
from quantkit.training.keywords.trainer import KeywordTrainer
from quantkit.training.setup import left_out, source_folder
from quantkit.training.waveforms import WaveformStore

SAMPLE_RATE = 16_000


def prepare_keyword_trainer(
    recipe: KeywordRecipe,
    folder: Path,
    *,
    root: Path | None = None,
    folders: Mapping[str, Path] | None = None,
    device: torch.device | None = None,
    on_decoding: Callable[[int, int], None] = lambda done, total: None,
    on_skipped: Callable[[str, Sequence[str]], None] = lambda source, reasons: None,
) -> KeywordTrainer:
    """Open every source, decode its audio once into ``folder/audio``, and build the trainer.

    The classes are the texts of the training clips, in alphabetical order.

    Args:
        folder: where the run keeps its checkpoints and decoded audio.
        root: folder that contains the sources' folders.
        folders: folders of single sources, by source name.
        on_decoding: called with the number of decoded clips and of all clips.
        on_skipped: called with the name of each source with skipped clips, and one ``path: reason``
            for each clip.

    Raises:
        CorpusError: a source is missing, unlabelled or empty, nothing is held out for validation,
            or a validation class has no training clips.
    """
    training: dict[str, Corpus] = {}
    validation: dict[str, Corpus] = {}
    for source in recipe.sources:
        place = source_folder(source, root, folders or {})
        training[source.name] = open_part(source, place, "train")
        if source.valid_share > 0:
            validation[source.name] = open_part(source, place, "valid")
    if not validation:
        raise CorpusError("the recipe holds out no validation clips")
    trained, held_out = _utterances(training), _utterances(validation)
    classes = tuple(sorted({u.text or "" for u in trained}))
    if untrained := sorted({u.text or "" for u in held_out} - set(classes)):
        raise CorpusError(f"validation clips are of a class that is not trained: {untrained[0]}")
    clips = [*trained, *held_out]
    done = 0

    def count(decoded: int) -> None:
        nonlocal done
        done += decoded
        on_decoding(done, len(clips))

    waveforms = WaveformStore(clips, folder / "audio", SAMPLE_RATE, count)
    for name in training:
        if reasons := left_out([c[name] for c in (training, validation) if name in c], waveforms):
            on_skipped(name, reasons)
    readable = [u for u in trained if u in waveforms]
    preparer = KeywordPreparer(
        classes,
        waveforms,
        SAMPLE_RATE,
        round(recipe.clip_seconds * SAMPLE_RATE),
        recipe.augment,
        tuple(u for u in readable if u.text == recipe.background),
    )
    return KeywordTrainer(recipe, readable, held_out, preparer, folder, device)


def _utterances(corpora: Mapping[str, Corpus]) -> list[Utterance]:
    return [utterance for corpus in corpora.values() for utterance in corpus]
