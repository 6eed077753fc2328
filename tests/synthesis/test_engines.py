"""Voices: each installed one speaks, obeys, and fails clearly."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.errors import InputError, MissingDependencyError
from quantkit.synthesis import VOICES, Request, SynthesisError, Voice, available_voices, speak
from quantkit.synthesis.engines import is_available

BY_NAME = {voice.name: voice for voice in VOICES}
ONE_OF_EACH = [voice for voice in VOICES if voice.engine != "espeak"] + [
    BY_NAME["espeak-en-gb-f2"],
    BY_NAME["espeak-en-us-m3"],
]


def installed(name: str) -> Voice:
    voice = BY_NAME[name]
    if not is_available(voice):
        pytest.skip(f"{name} is not installed ({voice.install})")
    return voice


def seconds(voice: Voice, request: Request) -> float:
    [(samples, rate)] = speak(voice, [request])
    return len(samples) / rate


@pytest.mark.parametrize("name", [voice.name for voice in ONE_OF_EACH])
def test_a_voice_speaks_every_text_in_order(name: str) -> None:
    voice = installed(name)
    spoken = list(speak(voice, [Request("stop"), Request("a long walk home in the rain")]))
    assert len(spoken) == 2
    for samples, rate in spoken:
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert rate in (8000, 16000, 22050, 32000, 48000)
        assert 0.01 < np.abs(samples).max() <= 1.0
    assert len(spoken[0][0]) < len(spoken[1][0])


@pytest.mark.parametrize("name", ["espeak-en-us-m3", "flite-slt", "festival-kal", "piper-joe"])
def test_stretch_makes_speech_slower(name: str) -> None:
    voice = installed(name)
    text = "the boats came home before the storm"
    assert seconds(voice, Request(text, stretch=1.5)) > 1.2 * seconds(voice, Request(text))


def test_apostrophes_are_spoken() -> None:
    for name in ("espeak-en-us-m3", "festival-kal"):
        assert seconds(installed(name), Request("don't")) > 0.1


@pytest.mark.parametrize("text", ["", "-x", 'a") (quit', "a\nb", "été", "; rm"])
def test_a_text_that_could_escape_into_a_program_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="cannot speak"):
        list(speak(installed("espeak-en-us-m3"), [Request(text)]))


def test_a_missing_program_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependencyError, match="apt-get install flite"):
        list(speak(BY_NAME["flite-slt"], [Request("hello")]))
    assert BY_NAME["flite-slt"] not in available_voices(VOICES)


def test_a_missing_library_says_how_to_install_it() -> None:
    voice = Voice("piper-nobody", "piper", "m", "no_such_voice_package", 1.0)
    with pytest.raises(MissingDependencyError, match="pip install piper-tts"):
        list(speak(voice, [Request("hello")]))


def test_a_voice_that_the_program_does_not_know_is_a_clear_error() -> None:
    installed("espeak-en-us-m3")
    voice = Voice("espeak-martian", "espeak", "m", "martian", 1.0)
    with pytest.raises(SynthesisError, match="espeak-martian"):
        list(speak(voice, [Request("hello")]))


def test_there_are_voices_of_both_genders_and_some_only_for_tests() -> None:
    assert len({voice.name for voice in VOICES}) == len(VOICES) > 50
    for test_only in (True, False):
        genders = {voice.gender for voice in VOICES if voice.test_only is test_only}
        assert genders == {"m", "f"}
