"""What the example of a bundle makes of a clip in chunks is what the runner makes of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.gigaam_frontend import GigaamFrontend
from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.audio.nemo_frontend import NemoFrontend, NemoRawFrontend
from quantkit.audio.running_normalization import expected_of
from quantkit.bundles.example import example_source
from quantkit.bundles.in_chunks import FRONTENDS
from quantkit.bundles.several import IN_CHUNKS
from quantkit.errors import ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.load_memory import LoadMemory
from quantkit.runtime.streaming.chunks import chunks_of
from quantkit.runtime.streaming.model import features_in_chunks, silence_of
from quantkit.runtime.streaming.settings import StreamingSettings
from quantkit.tasks.streaming_ctc import contents_in_chunks
from quantkit.text.labels import Labels

#: A front end of each kind and of more than one rate and size.
HEARD: list[Any] = [
    Frontend(),
    Frontend(sample_rate=8_000, window=200, hop=80, fft_size=256, high_hz=3_800.0),
    KaldiFrontend(),
    KaldiFrontend.for_rate(8_000, 40, integers=True),
    NemoFrontend(),
    NemoFrontend.for_rate(8_000, 64),
    NemoFrontend(window=401, hop=161, mel_bands=128),
    NemoRawFrontend(mel_bands=128),
    # Half of this rate is below the corner of Slaney's scale.
    NemoRawFrontend.for_rate(1_600, 20),
]
#: A graph that is told where a clip ends, and one that is not.
SETTINGS = {
    "ends": StreamingSettings(chunk=16, shift=8, stride=4, delay=2, ends=True, lead=3),
    "silence": StreamingSettings(chunk=13, shift=8, tail=30),
}


def example(kind: str, frontend: AnyFrontend) -> dict[str, Any]:
    """What the program defines."""
    heard = json.loads(frontend.to_json())["kind"]
    defined: dict[str, Any] = {"__name__": "example"}
    exec(example_source(LoadMemory(0, 0), kind=kind, frontend=heard), defined)
    return defined


def test_every_kind_of_features_is_compared() -> None:
    assert {json.loads(frontend.to_json())["kind"] for frontend in HEARD} == {*FRONTENDS}


@pytest.mark.parametrize("kind", IN_CHUNKS)
@pytest.mark.parametrize("ends", SETTINGS)
@pytest.mark.parametrize("frontend", HEARD)
def test_chunks_of_the_example_are_those_of_the_runner(frontend: Any, ends: str, kind: str) -> None:
    expected = expected_of(frontend, frontend.hop / frontend.sample_rate)
    settings = replace(SETTINGS[ends], expected=expected)
    noise = np.random.default_rng(4)
    for size in (frontend.sample_rate // 10 + frontend.window, 7 * frontend.sample_rate // 3):
        clip = (0.1 * noise.standard_normal(size)).astype(np.float32)
        # A pause, whose bands are on the floor of the logarithm.
        clip[size // 2 : size // 2 + 3 * frontend.hop] = 0.0
        features = features_in_chunks([clip], frontend, settings)
        wanted = [*chunks_of(features, settings, silence_of(frontend))]
        found = [
            *example(kind, frontend)["chunks_of"](
                clip, json.loads(frontend.to_json()), asdict(settings)
            )
        ]
        assert [own for _, own in found] == [chunk.length for chunk in wanted]
        for (ours, _), chunk in zip(found, wanted, strict=True):
            assert ours.dtype == np.float32
            np.testing.assert_allclose(ours, chunk.features, rtol=1e-5, atol=1e-5)


def test_features_that_no_example_makes_are_refused(tmp_path: Path) -> None:
    info = ArtifactInfo(labels=Labels.english(), frontend=GigaamFrontend.of_version(3, 16_000))
    with pytest.raises(ModelError, match=r"hears in chunks, and no example .*GigaamFrontend"):
        contents_in_chunks(info, tmp_path / "model.onnx")
