from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from quantkit.audio.corpora import open_corpus
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus
from quantkit.errors import CorpusError, InputError
from quantkit.finetuning.clips import TrainingClips
from quantkit.graph.info import ArtifactInfo
from tests.small_model import LABELS

_INFO = ArtifactInfo(LABELS, Frontend(), task="ctc")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    rng = np.random.default_rng(0)
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(4_000 + 800 * i), 16_000)
        rows.append(f"{i}.wav\ttrain\ts\t\ten\t0.3\t{'abc' if i else 'xyz'}")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return open_corpus(tmp_path)


@pytest.fixture
def clips(corpus: Corpus, tmp_path: Path) -> Iterator[TrainingClips]:
    made = TrainingClips(corpus, _INFO, tmp_path, tmp_path, transcripts=True)
    yield made
    made.close()


def test_some_clips_are_held_out_of_the_training(clips: TrainingClips) -> None:
    assert len(clips.held_out) == 1
    assert sorted((*clips.held_out, *clips.trained)) == list(range(6))
    assert len(list(clips.held_out_batches(60.0))) == 1


def test_a_batch_is_padded_with_zeros_and_knows_the_true_lengths(clips: TrainingClips) -> None:
    batch = clips.batch([1, 5])
    features, lengths = batch.inputs["features"], batch.inputs["lengths"]
    assert features.shape == (2, int(lengths.max()), 40)
    assert lengths[0] < lengths[1]
    assert not features[0, int(lengths[0]) :].any()
    torch.testing.assert_close(
        features[0, : int(lengths[0])], clips.batch([1]).inputs["features"][0]
    )


def test_transcripts_outside_the_labels_are_none(clips: TrainingClips) -> None:
    assert clips.batch([0, 1]).targets == (None, LABELS.encode("abc"))


def test_masks_are_of_training_only(clips: TrainingClips) -> None:
    plain = clips.batch([5]).inputs["features"]
    masked = clips.batch([5], np.random.default_rng(0)).inputs["features"]
    assert not torch.equal(plain, masked)
    torch.testing.assert_close(plain, clips.batch([5]).inputs["features"])


def test_transcripts_need_labels_and_some_text(corpus: Corpus, tmp_path: Path) -> None:
    nameless = ArtifactInfo(None, Frontend(), task="ctc")
    with pytest.raises(InputError, match="transcripts are for CTC models"):
        TrainingClips(corpus, nameless, tmp_path, tmp_path, transcripts=True)
    with pytest.raises(CorpusError, match="no clip has a transcript in the model's labels"):
        TrainingClips(
            Corpus("c", corpus.utterances[:1]), _INFO, tmp_path, tmp_path, transcripts=True
        )


def test_one_clip_is_not_enough(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="one clip alone"):
        TrainingClips(Corpus("c", corpus.utterances[1:2]), _INFO, tmp_path, tmp_path)
