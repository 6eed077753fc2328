"""The loaders on real recordings; skipped where those are not at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.audio.corpora import open_corpus
from quantkit.audio.decode import audio_seconds, read_audio
from quantkit.audio.features import iter_features
from quantkit.audio.frontend import Frontend

CLIPS = {
    "librispeech": 1_519,
    "speech_commands": 4_890,
    "digits": 3_000,
    "prompts": 550,
    "german": 197,
}


@pytest.mark.parametrize("name", CLIPS)
def test_every_clip_is_found(shared_data: Path, name: str) -> None:
    corpus = open_corpus(shared_data / name)
    assert len(corpus) == CLIPS[name]
    assert corpus.skipped == ()
    assert corpus.labelled
    assert len({u.identifier for u in corpus}) == len(corpus)


@pytest.mark.parametrize("name", CLIPS)
def test_a_sample_decodes_to_the_stated_duration_and_to_features(
    shared_data: Path, name: str
) -> None:
    corpus = open_corpus(shared_data / name).sample(8, seed=1)
    skipped: list[str] = []
    features = dict(iter_features(corpus, Frontend(), skipped))
    assert skipped == []
    for utterance in corpus:
        assert utterance.path is not None
        waveform = read_audio(utterance.path)
        assert waveform.size / 16_000 == pytest.approx(utterance.seconds, abs=0.02)
        assert audio_seconds(utterance.path) == pytest.approx(utterance.seconds, abs=0.02)
        assert features[utterance].shape == (Frontend().frames_of(waveform.size), 40)
        assert np.isfinite(features[utterance]).all()


def test_librispeech_can_be_narrowed_to_held_out_women(shared_data: Path) -> None:
    corpus = open_corpus(shared_data / "librispeech").select(
        split="dev", gender="f", max_seconds=10.0
    )
    assert corpus.values("speaker") == ("32", "3526", "6272")
    assert max(u.seconds for u in corpus) <= 10.0
    assert all(set(u.text or "") <= set(" 'abcdefghijklmnopqrstuvwxyz") for u in corpus)


def test_speech_commands_are_recognised_without_the_manifest(
    shared_data: Path, tmp_path: Path
) -> None:
    for word in ("yes", "no"):
        (tmp_path / word).mkdir()
        for clip in sorted((shared_data / "speech_commands" / word).iterdir())[:3]:
            (tmp_path / word / clip.name).write_bytes(clip.read_bytes())
    corpus = open_corpus(tmp_path)
    assert [u.text for u in corpus] == ["no"] * 3 + ["yes"] * 3
    assert all(len(u.speaker) == 8 for u in corpus)
    assert corpus.screened().seconds == pytest.approx(6.0, abs=0.5)
