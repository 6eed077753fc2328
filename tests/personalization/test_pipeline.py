"""A user's audio and a budget become that user's model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import CorpusError, InputError, ModelError
from quantkit.graph.artifact import load_model, read_info, save_model
from quantkit.personalization.pipeline import Personalized, PersonalizeSettings, personalize
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings
from quantkit.runtime.load_memory import load_memory
from quantkit.sensitivity.model_divergence import model_divergence
from tests.small_model import Clip, masked_convolutions

pytestmark = pytest.mark.slow

BUDGET = 52_000
CANDIDATES = tuple(map(CodecChoice.parse, ("grouped:2", "grouped:3", "bitplane:5", "int8")))
SETTINGS = PersonalizeSettings(candidates=CANDIDATES, rounds=1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("personalize") / "float32.onnx"
    save_model(masked_convolutions(width=2), path)
    return path


def clip(seed: int, frames: int, scale: float = 1.0) -> Clip:
    values = np.random.default_rng(seed).standard_normal((1, frames, 40)) * scale
    inputs = {"features": values.astype(np.float32), "lengths": np.array([frames], np.int64)}
    return f"clip {seed}", inputs


CLIPS = [clip(seed, 180 + 7 * seed) for seed in range(12)]


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Personalized:
    destination = tmp_path_factory.mktemp("made") / "user.onnx"
    return personalize(source, destination, CLIPS, BUDGET, SETTINGS)


def test_the_file_keeps_to_the_budget_and_uses_it(made: Personalized) -> None:
    destination = made.summary.destination
    assert destination is not None
    size = destination.stat().st_size
    assert made.summary.size_bytes == size
    assert 0.9 * BUDGET < size <= BUDGET


def test_the_file_carries_its_plan(made: Personalized) -> None:
    assert made.summary.destination is not None
    assert read_info(made.summary.destination).plan == made.plan.to_json()
    assert made.plan.method == "optimal"


def test_what_was_measured_is_what_the_file_does(made: Personalized, source: Path) -> None:
    assert made.summary.destination is not None
    feeds = CalibrationData.of(CLIPS, read_info(source))
    found = model_divergence(source, made.summary.destination, feeds, weighting="spoken")
    assert made.summary.measured_divergence == pytest.approx(found.mean, rel=1e-6)
    assert made.summary.measured_interval == found.interval


def test_every_layer_has_a_reason_and_every_step_a_time(made: Personalized) -> None:
    assert len(made.summary.reasons) == len(made.plan.layers) == 6
    assert [step.name for step in made.summary.steps] == ["listen", "plan", "quantize", "compare"]
    assert made.summary.warnings == ()


def test_it_repeats_itself_to_the_byte(made: Personalized, source: Path, tmp_path: Path) -> None:
    again = personalize(source, tmp_path / "again.onnx", CLIPS, BUDGET, SETTINGS)
    assert made.summary.destination is not None
    first, second = made.summary.destination, again.summary.destination
    assert second is not None
    assert first.read_bytes() == second.read_bytes()


def test_a_larger_budget_moves_the_posteriors_less(
    made: Personalized, source: Path, tmp_path: Path
) -> None:
    large = personalize(source, tmp_path / "large.onnx", CLIPS, 2 * BUDGET, SETTINGS)
    assert large.summary.measured_divergence is not None
    assert made.summary.measured_divergence is not None
    assert large.summary.measured_divergence < made.summary.measured_divergence


def test_pinned_and_excluded_layers_stay_what_was_said(source: Path, tmp_path: Path) -> None:
    pinned = QuantizeSettings(rules=(LayerRule("2", codec=CANDIDATES[0]),), exclude=("6",))
    settings = replace(SETTINGS, quantize=pinned, rounds=0)
    made = personalize(source, tmp_path / "user.onnx", CLIPS, 2 * BUDGET, settings)
    assert (made.plan.layers[1].codec, made.plan.layers[1].bits) == ("grouped", 2)
    assert made.plan.layers[5].codec == "float32"


def test_an_impossible_budget_says_what_is_possible_and_leaves_what_was_there(
    source: Path, tmp_path: Path
) -> None:
    destination = tmp_path / "user.onnx"
    destination.write_bytes(b"what was there")
    with pytest.raises(InputError, match=r"impossible: the smallest, with .*, takes [\d,]+"):
        personalize(source, destination, CLIPS, 2_000, SETTINGS)
    assert destination.read_bytes() == b"what was there"


def test_codecs_whose_file_takes_too_much_to_open_are_left_out(
    source: Path, tmp_path: Path
) -> None:
    user, codecs = tmp_path / "user.onnx", ("grouped:4", "bitplane:3", "int8")
    candidates = tuple(map(CodecChoice.parse, codecs))
    settings = replace(SETTINGS, candidates=candidates, rounds=0)
    free = personalize(source, user, CLIPS, BUDGET, settings)
    assert "grouped" in {row.codec for row in free.plan.layers}
    limit = load_memory(user).peak_bytes - 1
    settings = replace(settings, load_memory=f"{limit}B")
    lighter = personalize(source, user, CLIPS, BUDGET, settings)
    assert load_memory(user).peak_bytes <= limit
    assert "grouped" not in {row.codec for row in lighter.plan.layers}
    with pytest.raises(InputError, match=r"more than --load-memory of 0\.0 MB: raise it"):
        personalize(source, user, CLIPS, BUDGET, replace(settings, load_memory="1B"))


def test_a_load_memory_that_is_no_size_is_found_before_anything_is_heard(
    source: Path, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, load_memory="little")
    with pytest.raises(InputError, match="'little' is not a size"):
        personalize(source, tmp_path / "user.onnx", [], BUDGET, settings)


def test_one_short_clip_does_and_is_warned_of(source: Path, tmp_path: Path) -> None:
    made = personalize(source, tmp_path / "user.onnx", [clip(0, 20)], BUDGET, SETTINGS)
    assert made.summary.clips == 1
    assert "Only 1 clip" in made.summary.warnings[0]


def test_clips_in_which_float32_hears_nothing_are_refused(source: Path, tmp_path: Path) -> None:
    destination = tmp_path / "user.onnx"
    destination.write_bytes(b"what was there")
    silent = [clip(seed, 30, scale=0.0) for seed in range(3)]
    with pytest.raises(CorpusError, match="float32 model writes nothing for all 3 clips"):
        personalize(source, destination, silent, BUDGET, SETTINGS)
    assert destination.read_bytes() == b"what was there"


def test_what_changed_in_the_text_is_told(source: Path, tmp_path: Path) -> None:
    made = personalize(source, tmp_path / "user.onnx", CLIPS, BUDGET, SETTINGS)
    changes = made.summary.changes
    assert changes is not None
    assert changes.clips == len(CLIPS)
    assert made.to_dict()["changes"]["counts"][-1]["of"] == changes.counts[-1].total > 0


def test_a_budget_that_float32_keeps_to_is_said(source: Path, tmp_path: Path) -> None:
    size = source.stat().st_size
    made = personalize(source, tmp_path / "user.onnx", CLIPS, size, replace(SETTINGS, rounds=0))
    assert made.summary.warnings[0].startswith(f"The float32 model itself takes {size:,} bytes")


def test_no_clip_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="at least one clip"):
        personalize(source, tmp_path / "user.onnx", [], BUDGET, SETTINGS)


def test_nan_in_a_layer_is_named(source: Path, tmp_path: Path) -> None:
    model = load_model(source)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w3")
    values = np.frombuffer(weight.raw_data, np.float32).copy()
    values[7] = np.nan
    weight.raw_data = values.tobytes()
    broken = tmp_path / "nan.onnx"
    save_model(model, broken)
    with pytest.raises(ModelError, match=r"NaN"):
        personalize(broken, tmp_path / "user.onnx", CLIPS, BUDGET, SETTINGS)


def test_an_operator_that_no_runtime_knows_is_refused(source: Path, tmp_path: Path) -> None:
    model = load_model(source)
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.domain, relu.op_type = "com.example", "SecretRelu"
    model.opset_import.add(domain="com.example", version=1)
    foreign = tmp_path / "foreign.onnx"
    save_model(model, foreign)
    with pytest.raises(ModelError, match="SecretRelu"):
        personalize(foreign, tmp_path / "user.onnx", CLIPS, BUDGET, SETTINGS)


def test_the_model_itself_is_never_overwritten(source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(InputError, match="read by this command"):
        personalize(source, source, CLIPS, BUDGET, SETTINGS)
    assert source.read_bytes() == before
