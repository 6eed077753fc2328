"""A single artifact is compared with its checksum, and then it must run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from quantkit.bundles import verify_artifact
from quantkit.errors import ModelError, VerificationError
from quantkit.graph.artifact import load_model, read_info, save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.integrity import stored_checksum
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.runtime.hosts import Hosts
from tests.bundles.conftest import recogniser


def test_a_sound_artifact_passes_and_runs(artifact: Path, fused_artifact: Path) -> None:
    for path in (artifact, fused_artifact):
        result = verify_artifact(path)
        result.require()
        assert result.checksum == stored_checksum(path)
        assert result.runtime is not None
        assert result.runtime["onnxruntime"] == onnxruntime.__version__
        assert result.runtime["rtf"] > 0


def test_it_says_where_integer_sums_are_exact(tmp_path: Path, artifact: Path) -> None:
    """Whatever this processor is."""
    info = read_info(artifact)
    for target, exact in (("any", True), ("vnni", False)):
        model = recogniser(replace(info, plan=None))
        save_model(model, tmp_path / "float32.onnx")
        quantize_model(
            tmp_path / "float32.onnx",
            tmp_path / "q.onnx",
            QuantizeSettings(compute="dynamic"),
            fitting=PtqSettings(target_cpu=target),
        )
        hosts = verify_artifact(tmp_path / "q.onnx").hosts
        assert hosts is not None
        assert ("avx2" in hosts.exact_on) == exact
    assert verify_artifact(artifact).hosts == Hosts(())


def test_any_flipped_byte_fails_the_check(artifact: Path) -> None:
    content = artifact.read_bytes()
    for position in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        artifact.write_bytes(damaged)
        result = verify_artifact(artifact)
        assert result.checksum == ""
        assert result.runtime is None
        with pytest.raises(VerificationError, match=r"int8\.onnx"):
            result.require()


def test_a_cut_file_fails_the_check(artifact: Path) -> None:
    content = artifact.read_bytes()
    for kept in (1, len(content) // 2, len(content) - 100, len(content) - 1):
        artifact.write_bytes(content[:kept])
        assert verify_artifact(artifact).problem


def test_external_weights_belong_to_it(artifact: Path) -> None:
    model = load_model(artifact)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(2_000), "spare"))
    save_model(model, artifact, external_threshold=0)
    data = artifact.with_name("int8.onnx.data")
    assert verify_artifact(artifact).problem == ""
    data.write_bytes(data.read_bytes()[:-1] + b"\xff")
    assert "does not match its checksum" in verify_artifact(artifact).problem
    data.unlink()
    assert "is missing" in verify_artifact(artifact).problem


def replace_weight(artifact: Path, weight: np.ndarray) -> None:
    model = load_model(artifact)
    stored = next(t for t in model.graph.initializer if t.name == "weight")
    stored.CopyFrom(numpy_helper.from_array(weight, "weight"))
    save_model(model, artifact)


def test_numbers_that_are_not_finite(artifact: Path) -> None:
    replace_weight(artifact, np.full((40, 4), np.nan, np.float32))
    result = verify_artifact(artifact)
    assert result.checksum
    assert "numbers that are not finite" in result.problem


def test_more_outputs_than_labels(artifact: Path) -> None:
    replace_weight(artifact, np.zeros((40, 5), np.float32))
    assert "shape (98, 5), not (frames, 4)" in verify_artifact(artifact).problem


def test_a_model_that_does_not_load(artifact: Path) -> None:
    model = load_model(artifact)
    model.graph.node[-1].op_type = "NoSuchOperator"
    save_model(model, artifact)
    assert "NoSuchOperator" in verify_artifact(artifact).problem


@pytest.mark.parametrize(("wanted", "fits"), [("1.15", True), ("", True), ("99.1", False)])
def test_the_plan_may_ask_for_a_newer_runtime(
    artifact: Path, info: ArtifactInfo, wanted: str, fits: bool
) -> None:
    assert info.plan is not None
    info.plan["target_runtime"] = wanted
    model = load_model(artifact)
    set_info(model, info)
    save_model(model, artifact)
    expected = (
        "" if fits else f"made for onnxruntime >= 99.1, and this is {onnxruntime.__version__}"
    )
    assert verify_artifact(artifact).problem.endswith(expected)
    assert (verify_artifact(artifact).problem == "") is fits


def test_a_model_that_is_no_recogniser_is_loaded_only(anonymous: Path) -> None:
    result = verify_artifact(anonymous)
    assert result.problem == ""
    assert result.runtime is not None
    assert result.runtime["rtf"] is None


def test_what_is_only_loaded_gives_numbers_all_the_same(anonymous: Path) -> None:
    model = load_model(anonymous)
    (weight, *_) = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    spoilt = np.full_like(numpy_helper.to_array(weight), np.nan)
    weight.CopyFrom(numpy_helper.from_array(spoilt, weight.name))
    save_model(model, anonymous)
    assert "returns no finite number for noise" in verify_artifact(anonymous).problem


def test_labels_that_are_no_text(artifact: Path) -> None:
    model = load_model(artifact)
    for entry in model.metadata_props:
        if entry.key == "quantkit.labels":
            content = json.loads(entry.value)
            entry.value = json.dumps(content | {"tokens": [*range(len(content["tokens"]))]})
    save_model(model, artifact)
    assert verify_artifact(artifact).problem


def test_a_model_of_another_tool_has_nothing_to_compare(artifact: Path) -> None:
    model = onnx.load(artifact)
    del model.metadata_props[:]
    onnx.save(model, artifact)
    with pytest.raises(ModelError, match=r"has no checksum .* quantkit did not write it"):
        verify_artifact(artifact)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*nowhere\.onnx"):
        verify_artifact(tmp_path / "nowhere.onnx")
