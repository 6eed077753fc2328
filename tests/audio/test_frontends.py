"""Artifacts may name front ends of kinds that others add."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from quantkit.audio import frontends
from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import frontend_from_json, register_frontend
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import FormatError, InputError


@dataclass(frozen=True)
class Halved(WaveformFrontend):
    @classmethod
    def from_json(cls, text: str) -> Halved:
        return cls(json.loads(text)["sample_rate"])

    def to_json(self) -> str:
        return json.dumps({"kind": "halved", "sample_rate": self.sample_rate})


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontends, "_READERS", dict(frontends._READERS))


@pytest.mark.parametrize("frontend", [Frontend(), WaveformFrontend(8_000), WhisperFrontend()])
def test_each_is_read_as_it_was_written(frontend) -> None:
    assert frontend_from_json(frontend.to_json()) == frontend


def test_another_kind_can_be_added_once() -> None:
    register_frontend("halved", Halved.from_json)
    register_frontend("halved", Halved.from_json)
    assert frontend_from_json(Halved(8_000).to_json()) == Halved(8_000)
    with pytest.raises(InputError, match="a front end 'halved' already"):
        register_frontend("halved", Frontend.from_json)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(FormatError, match="no front end 'halved'; known: log-mel, waveform"):
        frontend_from_json(Halved().to_json())
