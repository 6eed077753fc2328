"""Sounds that are added to clips by name."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.augmentation.alteration import parse_alteration
from quantkit.audio.features import load_waveform, waveform_blocks
from quantkit.audio.sound import speech_level
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import InputError

RATE = 16_000


def speech() -> np.ndarray:
    """A second of sound and half a second of silence."""
    sound = np.random.default_rng(0).normal(0, 0.1, RATE)
    return np.concatenate((sound, np.zeros(RATE // 2))).astype(np.float32)


def heard(text: str, seed: int = 0, name: str = "clip") -> np.ndarray:
    return parse_alteration(text, seed)(speech(), RATE, name)


def decibels(values: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(values, dtype=np.float64))))


@pytest.mark.parametrize("kind", ["noise", "white", "background"])
def test_noise_is_so_many_decibels_below_the_speech(kind: str) -> None:
    level = 20 * np.log10(speech_level(speech(), RATE))
    for ratio in (20, 0):
        noise = heard(f"{kind}:{ratio}dB") - speech()
        assert level - decibels(noise) == pytest.approx(ratio, abs=0.1)


def test_kinds_differ_in_their_spectrum() -> None:
    def low_share(text: str) -> float:
        power = np.abs(np.fft.rfft(heard(text) - speech())) ** 2
        return float(power[: len(power) // 8].sum() / power.sum())

    assert low_share("white:0dB") == pytest.approx(1 / 8, abs=0.03)
    assert low_share("noise:0dB") > 0.6


def test_a_room_rings_on_and_keeps_length_and_energy() -> None:
    ringing = heard("reverb:0.5s")
    assert ringing.size == speech().size
    assert np.abs(ringing[RATE : RATE + 1600]).max() > 0.001
    assert decibels(ringing) == pytest.approx(decibels(speech()), abs=0.05)
    # A longer reverberation is louder a tenth of a second after the end.
    longer, shorter = (heard(f"reverb:{s}s")[RATE + 1600 :] for s in (2, 0.2))
    assert decibels(longer) > decibels(shorter) + 20


def test_levels_and_lines() -> None:
    assert decibels(heard("gain:-20dB")) == pytest.approx(decibels(speech()) - 20, abs=1e-3)
    power = np.abs(np.fft.rfft(heard("telephone"))) ** 2
    hertz = np.fft.rfftfreq(speech().size, 1 / RATE)
    inside = power[(hertz > 500) & (hertz < 3000)].mean()
    assert power[(hertz < 100)].mean() < inside / 1000
    assert power[(hertz > 6000)].mean() < inside / 1000


def test_a_clip_gets_the_same_whatever_else_is_heard_and_another_one_something_else() -> None:
    assert np.array_equal(heard("noise,reverb"), heard("noise,reverb"))
    assert not np.array_equal(heard("noise"), heard("noise", name="another"))
    assert not np.array_equal(heard("noise"), heard("noise", seed=1))


def test_parts_follow_one_another() -> None:
    assert decibels(heard("noise:0dB,gain:-40dB")) < decibels(heard("gain:-40dB,noise:0dB")) + 0.1
    assert not np.allclose(heard("noise,reverb"), heard("reverb,noise"), atol=1e-3)


def test_silence_gets_no_noise() -> None:
    silence = np.zeros(RATE, np.float32)
    assert not parse_alteration("noise,background,reverb")(silence, RATE, "clip").any()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nois",
        "noise:",
        "noise:10s",
        "noise:1e9dB",
        "gain",
        "telephone:3",
        "reverb:0s",
        "noise,",
    ],
)
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_alteration(text)


def test_a_text_says_the_same_again() -> None:
    for text in ("noise:10dB,reverb", "reverb:0.5s", "gain:-20dB", "telephone"):
        assert str(parse_alteration(text)) == text


def test_an_utterance_is_heard_altered_as_a_whole_and_in_blocks() -> None:
    clip = Utterance(None, name="clip", waveform=speech(), sample_rate=RATE)
    (altered,) = Corpus("one", (clip,)).altered(parse_alteration("noise:10dB"))
    assert np.array_equal(load_waveform(altered, RATE), heard("noise:10dB"))
    assert np.array_equal(np.concatenate([*waveform_blocks(altered, RATE)]), heard("noise:10dB"))


def test_features_cannot_be_altered() -> None:
    clip = Utterance(None, name="clip", features=np.zeros((3, 40), np.float32))
    with pytest.raises(InputError, match="features and no audio"):
        Corpus("one", (clip,)).altered(parse_alteration("noise"))
