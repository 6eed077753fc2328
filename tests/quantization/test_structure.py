"""Layers of lower rank in plans and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.errors import FormatError, InputError
from quantkit.graph.artifact import read_info, save_model
from quantkit.graph.plan import Structure, read_plan, write_plan
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.choices.structure_rules import ChannelRule, RankRule
from quantkit.quantization.inspection import inspect_model
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import PreparedModel
from tests.small_model import masked_convolutions

pytestmark = pytest.mark.slow

HALF = QuantizeSettings(compute="static", ranks=(RankRule.parse("layer[2-4]*=1/4"),))

RANKS = {"layer2.conv": Structure(24), "layer3.conv": Structure(24), "layer4.conv": Structure(32)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


def test_the_plan_has_a_row_for_each_half_and_says_the_ranks(source, clips, tmp_path) -> None:
    made = quantize_model(source, tmp_path / "made.onnx", HALF, clips)
    assert made.plan.structure == RANKS
    shapes = {row.name: row.shape for row in made.layers}
    assert shapes["layer2.conv.in"] == (24, 96, 7)
    assert shapes["layer2.conv"] == (96, 24, 1)
    assert [row.status for row in made.lint.rows] == ["int8"] * 9
    plan = read_info(made.path).plan
    assert plan is not None
    assert plan["structure"]["layer2.conv"] == {"rank": 24}
    assert inspect_model(made.path).structure == made.plan.structure


def test_a_plan_without_ranks_says_nothing_of_them(source, clips, tmp_path) -> None:
    made = quantize_model(source, tmp_path / "made.onnx", "static-int8", clips)
    assert "structure" not in made.plan.to_json()


def test_the_plan_of_a_file_gives_the_file_again(source, clips, tmp_path) -> None:
    made = quantize_model(source, tmp_path / "made.onnx", HALF, clips)
    write_plan(made.plan, tmp_path / "plan.json")
    again = quantize_model(
        source, tmp_path / "again.onnx", read_plan(tmp_path / "plan.json"), clips
    )
    assert again.path.read_bytes() == made.path.read_bytes()


def test_the_size_is_foretold_to_the_byte_without_audio(source, clips, tmp_path) -> None:
    foretold = with_sizes(source, HALF)
    assert foretold.structure == RANKS
    made = quantize_model(source, tmp_path / "made.onnx", foretold, clips)
    assert made.size_bytes == foretold.predicted_bytes


def test_each_half_has_a_codec_and_a_kernel_of_its_own(source, clips, tmp_path) -> None:
    rules = (LayerRule.parse("layer2.conv.in=grouped:4"), LayerRule.parse("layer3.conv=@float32"))
    settings = QuantizeSettings(compute="static", ranks=HALF.ranks, rules=rules)
    made = quantize_model(source, tmp_path / "made.onnx", settings, clips)
    rows = {row.name: (row.codec, row.compute) for row in made.layers}
    assert rows["layer2.conv.in"] == ("grouped", "static")
    assert rows["layer2.conv"] == ("int8", "static")
    assert rows["layer3.conv.in"] == ("int8", "static")
    assert rows["layer3.conv"] == ("float32", "float32")


def test_a_layer_with_taps_can_read_fewer_channels(source, clips, tmp_path) -> None:
    ranks = tuple(map(RankRule.parse, ("layer2.conv=1/2:1/4", "layer3.conv=48:")))
    settings = QuantizeSettings(compute="static", ranks=ranks)
    foretold = with_sizes(source, settings)
    made = quantize_model(source, tmp_path / "made.onnx", foretold, clips)
    assert made.size_bytes == foretold.predicted_bytes
    shapes = {row.name: row.shape for row in made.layers}
    assert shapes["layer2.conv.first"] == (48, 96, 1)
    assert shapes["layer2.conv.in"] == (24, 48, 7)
    assert shapes["layer2.conv"] == (96, 24, 1)
    assert shapes["layer3.conv.first"] == (48, 96, 1)
    assert shapes["layer3.conv"] == (96, 48, 7)
    assert made.plan.structure == {
        "layer2.conv": Structure(24, 48),
        "layer3.conv": Structure(0, 48),
    }


def test_a_float_model_can_have_layers_of_lower_rank(source, clips, run, tmp_path) -> None:
    settings = QuantizeSettings(compute="float32", ranks=HALF.ranks)
    made = quantize_model(source, tmp_path / "made.onnx", settings, clips)
    assert made.size_bytes < 0.6 * source.stat().st_size
    higher = QuantizeSettings(compute="float32", ranks=(RankRule.parse("layer[2-4]*=1/2"),))
    nearer = quantize_model(source, tmp_path / "nearer.onnx", higher, clips)
    whole = run(source, clips)
    errors = [
        sum(float(np.square(a - b).sum()) for a, b in zip(run(path, clips), whole, strict=True))
        for path in (made.path, nearer.path)
    ]
    assert 0.0 < errors[1] < errors[0]


def test_what_int8_adds_is_little_beside_what_the_rank_costs(source, clips, run, tmp_path) -> None:
    whole = run(source, clips)
    errors = {}
    for compute in ("float32", "static"):
        settings = QuantizeSettings(compute=compute, ranks=HALF.ranks)
        made = quantize_model(source, tmp_path / f"{compute} half.onnx", settings, clips)
        errors[compute] = sum(
            float(np.square(a - b).sum()) for a, b in zip(run(made.path, clips), whole, strict=True)
        )
    assert errors["static"] < 1.2 * errors["float32"]


def test_ranks_need_clips(source, tmp_path) -> None:
    settings = QuantizeSettings(compute="dynamic", ranks=HALF.ranks)
    with pytest.raises(InputError, match=r"the rank of layer layer2\.conv needs clips"):
        quantize_model(source, tmp_path / "made.onnx", settings)
    assert not (tmp_path / "made.onnx").exists()


def test_ranks_of_a_plan_that_cannot_be_are_refused(source, clips, tmp_path) -> None:
    plan = with_sizes(source, HALF)
    wrong = type(plan)(**{**plan.__dict__, "structure": {"layer2.conv": Structure(90)}})
    with pytest.raises(FormatError, match=r"layer layer2\.conv cannot have rank 90"):
        quantize_model(source, tmp_path / "made.onnx", wrong, clips)
    unknown = type(plan)(**{**plan.__dict__, "structure": {"layer99": Structure(8)}})
    with pytest.raises(FormatError, match="layer layer99 cannot be split"):
        quantize_model(source, tmp_path / "made.onnx", unknown, clips)


def test_a_later_rule_wins_and_one_that_saves_nothing_is_refused(source) -> None:
    prepared = PreparedModel(source)
    rules = tuple(map(RankRule.parse, ("Conv=1/4", "layer3.conv=40")))
    assigned = prepare(prepared, QuantizeSettings(ranks=rules))
    assert assigned.plan.structure["layer3.conv"] == Structure(40)
    assert "layer6.conv" not in assigned.plan.structure
    for pattern in ("layer6.conv=2", "layer2.conv=95"):
        with pytest.raises(InputError, match=r"--rank: layer.* saves nothing"):
            prepare(prepared, QuantizeSettings(ranks=(RankRule.parse(pattern),)))


@pytest.mark.parametrize(
    "text", ["layer2.conv", "=8", "layer2.conv=0", "x=1/0", "x=2.5", "x=-1", "x=0:0", "x=1:2:3"]
)
def test_ranks_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is not PATTERN=\[INPUT_RANK:\]RANK"):
        RankRule.parse(text)


def test_the_whole_model_is_kept_beside_the_split_one(source, clips) -> None:
    prepared = PreparedModel(source)
    feeds = CalibrationData(clips, prepared.info)
    split = prepared.structured({"layer2.conv": Structure(24)}, feeds)
    assert split.whole is prepared
    assert split.structured({}) is prepared
    assert len(split.layers_of(split.graph())) == len(prepared.layers_of(prepared.graph())) + 1
    assert split.graph_sha256((), ()) != prepared.graph_sha256((), ())
    assert split.sha256 == prepared.sha256


FEWER = QuantizeSettings(compute="static", channels=(ChannelRule.parse("layer[2-4]*=3/4"),))


def test_layers_can_make_fewer_channels(source, clips, tmp_path) -> None:
    foretold = with_sizes(source, FEWER)
    made = quantize_model(source, tmp_path / "made.onnx", foretold, clips)
    assert made.size_bytes == foretold.predicted_bytes
    shapes = {row.name: row.shape for row in made.layers}
    assert shapes["layer2.conv"] == (72, 96, 7)
    assert shapes["layer3.conv"] == (72, 72, 7)
    assert shapes["layer5.conv"][1] == 96
    assert [row.status for row in made.lint.rows] == ["int8"] * 6
    assert made.plan.structure == {
        "layer2.conv": Structure(channels=72),
        "layer3.conv": Structure(channels=72),
        "layer4.conv": Structure(channels=96),
    }
    assert inspect_model(made.path).structure == made.plan.structure


def test_the_plan_of_a_file_with_fewer_channels_gives_it_again(source, clips, tmp_path) -> None:
    made = quantize_model(source, tmp_path / "made.onnx", FEWER, clips)
    write_plan(made.plan, tmp_path / "plan.json")
    again = quantize_model(
        source, tmp_path / "again.onnx", read_plan(tmp_path / "plan.json"), clips
    )
    assert again.path.read_bytes() == made.path.read_bytes()


def test_a_layer_with_fewer_channels_can_be_split(source, clips, tmp_path) -> None:
    settings = QuantizeSettings(
        compute="static",
        channels=FEWER.channels,
        ranks=(RankRule.parse("layer3.conv=16"),),
    )
    made = quantize_model(source, tmp_path / "made.onnx", settings, clips)
    shapes = {row.name: row.shape for row in made.layers}
    assert shapes["layer3.conv.in"] == (16, 72, 7)
    assert shapes["layer3.conv"] == (72, 16, 1)
    assert made.plan.structure["layer3.conv"] == Structure(16, channels=72)


def test_more_channels_are_nearer_to_the_model(source, clips, run, tmp_path) -> None:
    whole, errors = run(source, clips), []
    for share in ("1/2", "3/4"):
        rule = ChannelRule.parse(f"layer[2-4]*={share}")
        settings = QuantizeSettings(compute="float32", channels=(rule,))
        made = quantize_model(source, tmp_path / f"{rule.channels.numerator}.onnx", settings, clips)
        pairs = zip(run(made.path, clips), whole, strict=True)
        errors.append(sum(float(np.square(a - b).sum()) for a, b in pairs))
    assert 0.0 < errors[1] < errors[0]


def test_fewer_channels_need_clips(source, tmp_path) -> None:
    with pytest.raises(InputError, match=r"the number of channels of layer layer2\.conv needs"):
        quantize_model(source, tmp_path / "made.onnx", FEWER)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("layer6.conv=1/2", "are read by one layer alone"),
        ("layer2.conv=96", "layer2.conv makes 96"),
        ("nothing=1/2", "matches no layer"),
    ],
)
def test_channels_that_cannot_be_left_out_are_refused(source, rule, message) -> None:
    with pytest.raises(InputError, match=message):
        prepare(source, QuantizeSettings(channels=(ChannelRule.parse(rule),)))


@pytest.mark.parametrize("text", ["layer2.conv", "=8", "layer2.conv=0", "a=-1", "a=1.5", "a=b"])
def test_channels_that_are_no_number_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not PATTERN=CHANNELS"):
        ChannelRule.parse(text)
