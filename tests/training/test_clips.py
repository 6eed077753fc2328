"""Clips that are joined, with pauses between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.audio.utterance import Utterance
from quantkit.text.labels import Labels
from quantkit.training.clips import ClipPreparer
from quantkit.training.recipe import AugmentSettings
from quantkit.training.waveforms import WaveformStore
from tests.training.conftest import spoken

_FRONTEND = NemoFrontend(mel_bands=16)


def _utterances(folder: Path) -> list[Utterance]:
    made = []
    for text in ("ab", "c"):
        path = folder / f"{text}.wav"
        soundfile.write(path, spoken(text), 16_000)
        made.append(Utterance(path, text, name=text, seconds=spoken(text).size / 16_000))
    return made


def _preparer(folder: Path, utterances: list[Utterance], pause: float) -> ClipPreparer:
    settings = AugmentSettings(
        speed=0.0, pause_seconds=pause, time_masks=0, time_width=0, frequency_masks=0
    )
    waveforms = WaveformStore(utterances, folder / "audio", 16_000)
    return ClipPreparer(_FRONTEND, Labels.english(), waveforms, settings, lambda *_: True)


@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_pauses_of_any_length_up_to_the_longest_stand_between(tmp_path: Path, pause: float) -> None:
    utterances = _utterances(tmp_path)
    preparer = _preparer(tmp_path, utterances, pause)
    speech = sum(spoken(u.text or "").size for u in utterances)
    lengths = set()
    for seed in range(12):
        batch = preparer.training_batch([tuple(utterances)], np.random.default_rng(seed))
        assert batch is not None
        lengths.add(int(batch.lengths[0]))
        assert Labels.english().decode(batch.targets.tolist()) == "ab c"
    assert min(lengths) >= _FRONTEND.frames_of(speech)
    assert max(lengths) <= _FRONTEND.frames_of(speech + round(16_000 * pause))
    assert len(lengths) == 1 if pause == 0 else len(lengths) > 8


def test_validation_clips_have_pauses_of_half_the_longest(tmp_path: Path) -> None:
    utterances = _utterances(tmp_path)
    batch = _preparer(tmp_path, utterances, 1.0).validation_batch([tuple(utterances)])
    assert batch is not None
    joined = np.concatenate([spoken("ab"), np.zeros(8_000, np.float32), spoken("c")])
    expected = _FRONTEND(joined)
    assert batch.features[0, : int(batch.lengths[0])].numpy() == pytest.approx(expected, abs=5e-2)


def test_one_utterance_has_no_pause(tmp_path: Path) -> None:
    utterances = _utterances(tmp_path)
    batch = _preparer(tmp_path, utterances, 1.0).validation_batch([(utterances[0],)])
    assert batch is not None
    assert int(batch.lengths[0]) == _FRONTEND.frames_of(spoken("ab").size)
