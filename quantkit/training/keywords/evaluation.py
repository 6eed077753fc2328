"""Accuracy of a keyword spotter on unseen speakers."""

from __future__ import annotations

from quantkit.audio.utterance import Corpus
from quantkit.disk.temporary import TemporaryFolder
from quantkit.training.keywords.checkpoint import Spotter
from quantkit.training.keywords.clips import KeywordPreparer
from quantkit.training.keywords.recipe import KeywordRecipe
from quantkit.training.keywords.validation import Accuracy, measure_accuracy
from quantkit.training.waveforms import WaveformStore


def evaluate(spotter: Spotter, recipe: KeywordRecipe, corpus: Corpus) -> Accuracy:
    """Classify every clip of ``corpus``, whose texts are classes.

    Args:
        recipe: of the spotter; defines the length of clips.
        corpus: for example the ``test`` part of
            :func:`~quantkit.training.keywords.speakers.open_part`.

    Raises:
        CorpusError: no clip of ``corpus`` can be decoded.
    """
    with TemporaryFolder("waveforms") as folder:
        waveforms = WaveformStore(corpus.utterances, folder, spotter.sample_rate)
        samples = round(recipe.clip_seconds * spotter.sample_rate)
        preparer = KeywordPreparer(spotter.classes, waveforms, spotter.sample_rate, samples)
        return measure_accuracy(spotter.model, corpus.utterances, preparer)
