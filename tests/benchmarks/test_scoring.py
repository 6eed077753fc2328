"""Held-out clips: what a model makes of them, against the float one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.scoring import HeldOut, change, corpus_digest, mean_interval
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import CorpusError
from quantkit.graph.artifact import save_model
from quantkit.quantization import QuantizeSettings, quantize_model
from tests.small_model import masked_convolutions


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scoring") / "float32.onnx"
    save_model(masked_convolutions(), path)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    utterances = []
    for text in ("abba", "cab", "deed", None):
        path = folder / f"{text}.wav"
        soundfile.write(path, random.uniform(-0.3, 0.3, 12_000), 16_000)
        utterances.append(Utterance(path, text))
    return Corpus("noise", tuple(utterances))


def test_float_model_is_itself(source, corpus) -> None:
    held_out = HeldOut(source, corpus)
    assert len(held_out) == 3
    assert held_out.score(source) == held_out.float_score
    assert held_out.float_score.divergence == 0.0


def test_fewer_bits_move_the_posteriors_further(source, corpus, tmp_path: Path) -> None:
    held_out = HeldOut(source, corpus)
    moved = []
    for bits in (6, 3, 1):
        settings = QuantizeSettings(compute="float32", codec=CodecChoice("bitplane", bits))
        quantize_model(source, tmp_path / "q.onnx", settings)
        moved.append(held_out.score(tmp_path / "q.onnx").divergence)
    assert 0 < moved[0] < moved[1] < moved[2]


def test_corpus_without_transcripts_is_refused(source, corpus) -> None:
    unlabelled = replace(corpus, utterances=tuple(replace(u, text=None) for u in corpus))
    with pytest.raises(CorpusError, match="none of 4 clips has a transcript"):
        HeldOut(source, unlabelled)


def test_change_is_relative_and_paired() -> None:
    """Every clip a tenth worse: certain, however different the clips are."""
    changed = change([11, 220, 33], [10, 200, 30])
    assert changed.mean == pytest.approx(0.1)
    assert changed.interval[0] > 0
    same = change([5, 7], [5, 7])
    assert (same.mean, same.interval) == (0.0, (0.0, 0.0))
    low, high = mean_interval([10, 200, 30])
    assert low < 80 < high


def test_digest_is_of_audio_and_text(corpus) -> None:
    digest = corpus_digest(corpus)
    assert digest == corpus_digest(replace(corpus, name="other"))
    assert digest != corpus_digest(replace(corpus, utterances=corpus.utterances[::-1]))
    first = replace(corpus.utterances[0], text="abbe")
    assert digest != corpus_digest(replace(corpus, utterances=(first, *corpus.utterances[1:])))
