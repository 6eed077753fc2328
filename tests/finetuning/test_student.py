"""What is trained in PyTorch is what the finished file holds and computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.finetuning.student import Student, finished, make_student
from quantkit.graph.artifact import save_model
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings, RankRule
from quantkit.quantization.pipeline import choices_and_observations
from quantkit.quantization.prepared import PreparedModel
from tests.small_model import Clip, Run, masked_convolutions

#: In nats; 2 bits move the posteriors by ten times as much.
_LITTLE = 0.02
_OUTPUTS = ("log_probs", "output_lengths")


def _settings(compute: str, codec: str, ranks: tuple[str, ...] = ()) -> QuantizeSettings:
    return QuantizeSettings(
        compute=compute,  # type: ignore[arg-type]
        codec=CodecChoice.parse(codec),
        ranks=tuple(map(RankRule.parse, ranks)),
    )


def _made(source: Path, clips: list[Clip], settings: QuantizeSettings) -> tuple[Student, object]:
    prepared = PreparedModel.of(source)
    feeds = prepared.feeds(clips)
    assigned, seen = choices_and_observations(
        prepared, source.with_name("tuned.onnx"), settings, None, feeds, True, None
    )
    return make_student(assigned, seen, _OUTPUTS), (assigned, seen)


def _disturb(student: Student) -> None:
    """As training would: every parameter moves a little."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    student.refresh()


def _said(student: Student, clips: list[Clip]) -> list[np.ndarray]:
    said = []
    for _, feed in clips:
        inputs = {name: torch.from_numpy(values) for name, values in feed.items()}
        with torch.no_grad():
            said.append(student(inputs)["log_probs"][0].numpy())
    return said


def _stored_levels(path: Path, value: str) -> np.ndarray:
    """What a file's decoder makes of its packed tensors."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(value, TensorProto.INT8, None))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = {
        "features": np.zeros((1, 40, 40), np.float32),
        "lengths": np.array([40]),
    }
    return np.asarray(session.run([value], feed)[0])


CASES = [
    ("static", "int8", ()),
    ("static", "bitplane:2", ()),
    ("static", "ternary", ()),
    ("static", "powers:3", ()),
    ("static", "binary,group_size=8", ()),
    ("static", "grouped:2", ()),
    ("static", "codebook:3,scope=channel", ()),
    ("dynamic", "grouped:3", ()),
    ("float32", "codebook:2", ()),
    ("static", "grouped:3", ("layer[2-4]*=1/4",)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("compute", "codec", "ranks"), CASES)
def test_the_finished_file_computes_what_was_trained(
    source: Path,
    clips: list[Clip],
    run: Run,
    tmp_path: Path,
    compute: str,
    codec: str,
    ranks: tuple[str, ...],
) -> None:
    if ranks:
        # Narrow layers save nothing at a lower rank.
        save_model(masked_convolutions(width=4), source)
    student, (assigned, seen) = _made(source, clips, _settings(compute, codec, ranks))
    before = _said(student, clips)
    _disturb(student)
    trained = {name: each.levels().detach().numpy() for name, each in student.weights.items()}
    model, plan = finished(assigned, seen, student)
    path = tmp_path / "tuned.onnx"
    save_model(model, path)

    after = _said(student, clips)
    for clip, wanted, earlier in zip(clips, after, before, strict=True):
        (found,) = run(path, [clip])
        assert np.abs(found - earlier).mean() > 2 * _LITTLE
        # Sums in another order round an activation to the next step now and then.
        assert np.abs(found - wanted).mean() < _LITTLE
    for row in plan.layers:
        levels = trained[row.name]
        assert levels.size == np.prod(row.shape)
        assert np.abs(levels).max() <= 127


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["bitplane:2", "grouped:2", "codebook:2", "powers:3"])
def test_the_integers_in_the_file_are_those_that_were_trained(
    source: Path, clips: list[Clip], tmp_path: Path, codec: str
) -> None:
    student, (assigned, seen) = _made(source, clips, _settings("static", codec))
    _disturb(student)
    trained = [each.levels().detach().numpy() for each in student.weights.values()]
    model, _ = finished(assigned, seen, student)
    path = tmp_path / "tuned.onnx"
    save_model(model, path)
    values = [name for node in model.graph.node for name in node.output]
    values += [tensor.name for tensor in model.graph.initializer]
    for name, levels in zip(student.layers, trained, strict=True):
        (value,) = {v for v in values if v.startswith(name) and _is_weight(v, name)}
        stored = _stored_levels(path, value)
        axis = 1 if stored.ndim == 2 else 0
        np.testing.assert_array_equal(np.moveaxis(stored, axis, 0).reshape(levels.shape), levels)


def _is_weight(value: str, layer: str) -> bool:
    return value in (f"{layer}.weight", f"{layer}.weight_quantized")


def test_training_begins_as_the_file_that_is_quantized_without_it(
    source: Path, clips: list[Clip], run: Run, tmp_path: Path
) -> None:
    from quantkit.quantization.pipeline import quantize_model

    settings = _settings("static", "bitplane:3")
    quantize_model(source, tmp_path / "ptq.onnx", settings, clips)
    student, _ = _made(source, clips, settings)
    for clip, begun in zip(clips, _said(student, clips), strict=True):
        (wanted,) = run(tmp_path / "ptq.onnx", [clip])
        assert np.abs(begun - wanted).mean() < _LITTLE


def test_a_plan_that_quantizes_nothing_has_nothing_to_train(
    source: Path, clips: list[Clip]
) -> None:
    settings = QuantizeSettings(compute="float32", rules=(LayerRule("*", codec=None),))
    with pytest.raises(InputError, match="nothing to train"):
        _made(source, clips, settings)
