"""A decoder is judged as it is used: its layers see one token at a time."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import model_files, read_info
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import DynamicRange, LayerRule
from quantkit.quantization.observe import observe
from quantkit.quantization.prepare import prepare
from quantkit.runtime.encoder_decoder.network import ExportedNetwork
from quantkit.sensitivity.candidate_weights import CandidateWeights
from quantkit.sensitivity.divergence_settings import DivergenceSettings, effort_for
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.sensitivity.plan_divergence import PlanTrial

pytest.importorskip("torch", reason="a tiny Whisper is made by PyTorch")

pytestmark = pytest.mark.slow

#: Rounded to few levels, so that it matters who shares a grid with whom.
COARSE = QuantizeSettings(
    compute="float32", rules=(LayerRule.parse("decoder.layers.*=int8@dynamic/3"),)
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.whisper import exported_whisper

    return exported_whisper(tmp_path_factory)


@pytest.fixture(scope="module")
def feeds(model: Path, tmp_path_factory: pytest.TempPathFactory) -> CalibrationData:
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    clips = []
    for index, language in enumerate(("en", "de")):
        path = folder / f"{index}.wav"
        soundfile.write(path, 0.1 * random.standard_normal(32_000), 16_000)
        clips.append(Utterance(path, language=language))
    # The text of random weights is long; this much shows the same.
    heard = CalibrationData(Corpus("noise", tuple(clips)), read_info(model), model)
    short = []
    for clip, inputs in heard:
        first = int(inputs["positions"][0])
        length = first + 12
        cut = {"tokens": inputs["tokens"][:, :length], "positions": np.arange(first, length)}
        short.append((clip, {**inputs, **cut}))
    return CalibrationData.of(short, read_info(model), model)


def test_a_text_read_token_by_token_says_the_same(model: Path, feeds: CalibrationData) -> None:
    encoder, decoder = model_files(model)
    network = ExportedNetwork.load(encoder, decoder)
    for _, inputs in feeds:
        heard = network.encode(inputs["features"])
        at_once, _ = network.step(
            inputs["tokens"], heard, network.empty_memory(), inputs["positions"]
        )
        read = network.read(inputs["features"], inputs["tokens"], inputs["positions"])
        np.testing.assert_allclose(read, at_once, atol=1e-3)
    assert model_divergence(model, model, feeds).mean < 1e-6


# Only the four tokens of the prompt share a grid; the one per clip has half as many steps.
@pytest.mark.parametrize(("dynamic_range", "off"), [("per-batch", 0.25), ("per-clip", 0.3)])
def test_a_simulated_plan_diverges_like_the_model_in_use(
    dynamic_range: DynamicRange, off: float, model: Path, feeds: CalibrationData, tmp_path: Path
) -> None:
    settings = replace(COARSE, dynamic_range=dynamic_range)
    made = quantize_model(model, tmp_path / "coarse.onnx", settings, feeds)
    in_use = model_divergence(model, made.path, feeds).mean
    prepared = prepare(model, settings)
    seen = observe(prepared.model, prepared.layers, prepared.choices, feeds, PtqSettings())
    with closing(
        PlanTrial(
            prepared.model,
            prepared.layers,
            feeds,
            DivergenceSettings(weighting="uniform"),
            CandidateWeights(prepared.model, prepared.layers, seen, PtqSettings()),
        )
    ) as trial:
        foreseen = trial.divergence(prepared.choices).mean
    assert foreseen == pytest.approx(in_use, rel=off)


def test_all_languages_are_heard_however_large_the_model_is(
    model: Path, feeds: CalibrationData
) -> None:
    layers = prepare(model, COARSE).layers
    assert effort_for(DivergenceSettings(), layers, feeds).clips == (0, 1)
