"""One run of the clips gives every metric of every layer, from what the layer really computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.calibration.clip_runner import ClipRunner
from quantkit.codecs.base import Weight
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import CorpusError, InputError, ModelError
from quantkit.graph.layers import find_layers
from quantkit.sensitivity import observe
from quantkit.sensitivity.cache import AnalysisCache
from quantkit.sensitivity.metrics import METRICS
from quantkit.sensitivity.observe import measure_metrics

REFERENCE = CodecChoice("bitplane", 4)
ALL = tuple(METRICS)


def measured(model, clips, names=ALL, cache=None, codec=REFERENCE, **options):
    cache = AnalysisCache(None) if cache is None else cache
    return measure_metrics(model, find_layers(model), clips, names, codec, cache, **options)


def values_of(model: onnx.ModelProto, names: list[str], clips) -> dict[str, np.ndarray]:
    """Each value for all clips, one below the other, channels last."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    with closing(ClipRunner(model)) as runner:
        for _, values in runner.run(names, clips):
            for name, value in values.items():
                found[name].append(np.moveaxis(value, 1, -1).reshape(-1, value.shape[1]))
    return {name: np.concatenate(rows).astype(np.float64) for name, rows in found.items()}


def with_quantized(model: onnx.ModelProto, weight: str) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    tensor = next(each for each in changed.graph.initializer if each.name == weight)
    encoded = REFERENCE.make().encode(Weight(numpy_helper.to_array(tensor), 0))
    tensor.CopyFrom(numpy_helper.from_array(encoded.dequantized(), weight))
    return changed


@pytest.fixture
def asked(monkeypatch) -> list[list[str]]:
    """The values that each run through the clips asks for."""
    found: list[list[str]] = []
    run = ClipRunner.run

    def noted(self, names, *arguments, **options) -> Iterator:
        found.append(list(names))
        return run(self, names, *arguments, **options)

    monkeypatch.setattr(ClipRunner, "run", noted)
    return found


@pytest.fixture
def never_run(monkeypatch) -> None:
    """Fail when the clips are run."""

    def run(*_arguments, **_options) -> Iterator:
        raise AssertionError("the clips were run")

    monkeypatch.setattr(ClipRunner, "run", run)


@pytest.mark.parametrize("number", [1, 3, 6])
def test_metrics_are_those_of_what_the_layer_computes(number, model, clips) -> None:
    found = measured(model, clips)[f"layer{number}.conv"]
    inputs, outputs = f"layer{number - 1}.masked", f"layer{number}.out"
    if number == 6:
        inputs = "layer5.relu"
    exact = values_of(model, [inputs, outputs], clips)
    rounded = values_of(with_quantized(model, f"w{number}"), [outputs], clips)[outputs]
    # Only this layer differs: the last one's inputs would, were earlier ones quantized, too.
    error = rounded - exact[outputs]
    assert found["mean"] == pytest.approx(exact[outputs].mean(), rel=1e-5)
    assert found["max"] == pytest.approx(exact[outputs].max(), rel=1e-5)
    assert found["l1"] == pytest.approx(np.abs(error).mean(), rel=1e-3)
    assert found["frobenius"] == pytest.approx(
        np.linalg.norm(error) / np.sqrt(len(error)), rel=1e-3
    )
    assert found["hessian-trace"] == pytest.approx(2 * np.square(exact[inputs]).mean(), rel=1e-5)


def test_better_codec_gives_a_better_ratio_of_signal_to_noise(model, clips) -> None:
    few, many = (
        measured(model, clips, ["sqnr"], codec=CodecChoice("bitplane", bits)) for bits in (3, 6)
    )
    for layer in few:
        assert few[layer]["sqnr"] + 12 < many[layer]["sqnr"]


def test_model_is_the_same_afterwards(model, clips) -> None:
    before = model.SerializeToString(deterministic=True)
    measured(model, clips)
    assert model.SerializeToString(deterministic=True) == before


def test_memory_is_bounded_by_rounds_which_change_nothing(model, clips, asked) -> None:
    together = measured(model, clips)
    # The first run asks for sizes; in the second every layer is seen with input and both outputs.
    assert len(asked) == 2
    asked.clear()
    each_alone = measured(model, clips, round_bytes=1)
    assert [len(names) for names in asked[1:]] == [3] * 6
    assert all(each_alone[layer] == pytest.approx(together[layer], rel=1e-4) for layer in together)


def test_long_clips_are_seen_in_stretches_which_change_nothing(model, clips, monkeypatch) -> None:
    whole = measured(model, clips)
    monkeypatch.setattr(observe, "_STRETCH", 500)
    for layer, metrics in measured(model, clips).items():
        assert metrics == pytest.approx(whole[layer], rel=1e-9)


def test_only_what_a_metric_reads_is_computed(model, clips, asked) -> None:
    measured(model, clips, ["median"])
    assert set(asked[-1]) == {f"layer{number}.out" for number in range(1, 7)}
    measured(model, clips, ["hessian-trace"])
    assert "layer1.out" not in asked[-1]


def test_second_run_and_known_metrics_come_from_the_cache(model, clips, tmp_path, request) -> None:
    first = measured(model, clips, cache=AnalysisCache(tmp_path))
    request.getfixturevalue("never_run")
    assert measured(model, clips, cache=AnalysisCache(tmp_path)) == first
    some = measured(model, clips, ["sqnr", "median"], AnalysisCache(tmp_path))
    assert list(some["layer1.conv"]) == ["sqnr", "median"]


def test_metric_that_is_asked_for_later_is_added(model, clips, tmp_path, request) -> None:
    measured(model, clips, ["median"], AnalysisCache(tmp_path))
    both = measured(model, clips, ["median", "sqnr"], AnalysisCache(tmp_path))
    assert both == measured(model, clips, ["median", "sqnr"])
    request.getfixturevalue("never_run")
    assert measured(model, clips, ["median", "sqnr"], AnalysisCache(tmp_path)) == both


def test_interrupted_run_goes_on_where_it_was(model, clips, tmp_path, asked) -> None:
    heard = 0

    def interrupted() -> Iterator:
        nonlocal heard
        for clip in clips:
            heard += 1
            # Once for the sizes, once each for layers 1 and 2, and in the midst of layer 3.
            if heard == 3 * len(clips) + 2:
                raise KeyboardInterrupt
            yield clip

    class CalibrationData:
        def __iter__(self) -> Iterator:
            return interrupted()

    with pytest.raises(KeyboardInterrupt):
        measured(model, CalibrationData(), cache=AnalysisCache(tmp_path), round_bytes=1)
    asked.clear()
    found = measured(model, clips, cache=AnalysisCache(tmp_path), round_bytes=1)
    assert [names[-1] for names in asked[1:]] == [f"layer{n}.out.quantized" for n in (3, 4, 5, 6)]
    assert found == measured(model, clips, round_bytes=1)


def test_progress_grows_to_one(model, clips) -> None:
    shares: list[float] = []
    measured(
        model, clips, ["mean"], progress=lambda _stage, share: shares.append(share), round_bytes=1
    )
    assert shares == sorted(shares)
    assert (len(shares), shares[-1]) == (6 * len(clips), 1.0)


def test_activations_that_are_not_finite_name_layer_and_clip(model, clips) -> None:
    bias = next(each for each in model.graph.initializer if each.name == "b2")
    values = numpy_helper.to_array(bias).copy()
    values[3] = np.nan
    bias.CopyFrom(numpy_helper.from_array(values, "b2"))
    with pytest.raises(ModelError, match=r"layer layer2\.conv: .*NaN or infinite on clip clip0"):
        measured(model, clips)


def test_no_clip_and_unknown_metric(model) -> None:
    with pytest.raises(CorpusError, match="at least one clip"):
        measured(model, [])
    with pytest.raises(InputError, match="unknown metric"):
        measured(model, [], ["mode"])


@pytest.mark.parametrize("frames", [2, 20])
def test_silence_and_the_shortest_clips_give_finite_numbers(frames, model) -> None:
    silence = {"features": np.zeros((1, frames, 40), np.float32), "lengths": np.array([frames])}
    for metrics in measured(model, [("silence", silence)]).values():
        assert set(metrics) == set(ALL)
        assert all(np.isfinite(value) for value in metrics.values())


def transformer_like() -> onnx.ModelProto:
    """An embedding, products with the weight on either side, and a product whose weight is none."""
    random = np.random.default_rng(0)
    weights = {
        "table": random.standard_normal((11, 8)),
        "right": random.standard_normal((8, 5)),
        "left": random.standard_normal((7, 5)),
        "gemm": random.standard_normal((6, 7)),
    }
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["embedded"], "embedding"),
        helper.make_node("MatMul", ["embedded", "right"], ["projected"], "projection"),
        helper.make_node("Transpose", ["projected"], ["turned"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["left", "turned"], ["mixed"], "mixing"),
        helper.make_node("MatMul", ["projected", "turned"], ["scores"], "attention"),
        helper.make_node("ReduceMean", ["mixed"], ["pooled"], "pool", axes=[2], keepdims=0),
        helper.make_node("Gemm", ["pooled", "gemm"], ["result"], "classifier", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "transformer-like",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "time"])],
        [
            helper.make_tensor_value_info("result", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(each.astype(np.float32), n) for n, each in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_layers_of_other_kinds() -> None:
    model = transformer_like()
    tokens = np.array([[1, 5, 9, 9, 0, 3]])
    found = measured(model, [("text", {"tokens": tokens})])
    assert list(found) == ["embedding", "projection", "mixing", "classifier"]
    assert set(ALL) - set(found["embedding"]) == {"hessian-trace"}
    assert all(set(found[layer]) == set(ALL) for layer in list(found)[1:])
    table, right, left = (
        numpy_helper.to_array(each).astype(np.float64) for each in model.graph.initializer[:3]
    )
    projected = table[tokens[0]] @ right
    assert found["embedding"]["mean"] == pytest.approx(table[tokens[0]].mean(), rel=1e-5)
    assert found["projection"]["hessian-trace"] == pytest.approx(
        2 * np.square(table[tokens[0]]).mean(), rel=1e-5
    )
    assert found["mixing"]["hessian-trace"] == pytest.approx(
        2 * np.square(projected).mean(), rel=1e-5
    )
    # Frames of the product with the weight on the left are its columns.
    encoded = REFERENCE.make().encode(Weight(left.astype(np.float32), 0)).dequantized()
    error = projected @ (encoded - left).T
    assert found["mixing"]["l2"] == pytest.approx(np.linalg.norm(error, axis=1).mean(), rel=1e-4)


def test_layer_whose_weight_no_codec_can_store_has_no_metrics(model, clips) -> None:
    weight = next(each for each in model.graph.initializer if each.name == "w6")
    values = numpy_helper.to_array(weight).copy()
    values[0, 0, 0] = np.inf
    weight.CopyFrom(numpy_helper.from_array(values, "w6"))
    found = measured(model, clips, ["sqnr"])
    assert found["layer6.conv"] == {}
    assert all("sqnr" in found[f"layer{number}.conv"] for number in range(1, 6))
