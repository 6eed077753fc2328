"""Settings of front ends are checked field by field; what is wrong is said in one line."""

from __future__ import annotations

import json
import math

import pytest

from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import FRONTENDS, AnyFrontend, frontend_from_json, frontend_named
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.errors import FormatError, InputError

ALL: list[AnyFrontend] = [Frontend(), WaveformFrontend(), *map(frontend_named, FRONTENDS)]


@pytest.mark.parametrize("frontend", ALL, ids=lambda each: each.to_json()[:40])
def test_each_is_read_as_it_was_written_whether_fused_or_not(frontend: AnyFrontend) -> None:
    assert frontend_from_json(frontend.to_json()) == frontend
    fused = json.dumps({**json.loads(frontend.to_json()), "fused": True})
    assert frontend_from_json(fused) == frontend


@pytest.mark.parametrize("frontend", ALL, ids=lambda each: each.to_json()[:40])
@pytest.mark.parametrize(
    "wrong", ["text", None, [], {}, -1, 1e999, float("nan"), 10**400, "missing"], ids=repr
)
def test_no_field_takes_what_is_no_setting(frontend: AnyFrontend, wrong: object) -> None:
    settings = json.loads(frontend.to_json())
    for name in set(settings) - {"kind"}:
        changed = {**settings, name: wrong}
        if wrong == "missing":
            del changed[name]
        with pytest.raises(FormatError) as found:
            frontend_from_json(json.dumps(changed))
        # JSON has no such numbers, so that the document itself is refused.
        no_json = isinstance(wrong, float) and not math.isfinite(wrong)
        assert ("it has no number" if no_json else name) in str(found.value)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bark": 1}, "unknown setting bark"),
        ({"hop": 0}, "hop must be at least 1"),
        ({"hop": True}, "hop must be a whole number"),
        ({"window": 400.0}, "window must be a whole number"),
        ({"mel_bands": 10**9}, "mel_bands must be at least 1 and at most 1024"),
        ({"window": 600}, "fft_size must be at least the window"),
        ({"hop": 401}, "hop must be at most the window"),
        ({"low_hz": 7_600.0}, "low_hz must be below high_hz"),
        ({"log_offset": 0.0}, "log_offset must be above 0"),
        ({"kind": "wavelets"}, "no front end 'wavelets'; known: log-mel"),
        ({"kind": ["log-mel"]}, "no front end"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], message: str) -> None:
    settings = {**json.loads(Frontend().to_json()), **change}
    with pytest.raises(FormatError, match=message):
        frontend_from_json(json.dumps(settings))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '"log-mel"', "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"not (readable|JSON|usable)"):
        frontend_from_json(text)


@pytest.mark.parametrize(
    ("name", "rate", "message"),
    [
        ("nemo", 16_000, "no front end 'nemo'; known: nemo-80, nemo-128, kaldi-80"),
        ("whisper-80", 8_000, "Whisper hears 16000 Hz, not 8000"),
        ("kaldi-80", 100, "for 4,000 to 192,000 Hz, not for 100"),
    ],
)
def test_names_and_rates_that_do_not_exist_are_refused(name: str, rate: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        frontend_named(name, rate)


def test_frames_are_as_long_at_any_rate() -> None:
    for name in ("nemo-80", "kaldi-80"):
        narrow = frontend_named(name, 8_000)
        assert narrow.frames_of(8_000) == frontend_named(name).frames_of(16_000) == 100
