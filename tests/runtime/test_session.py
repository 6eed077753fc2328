"""Opening models, and one clear line for those that do not open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import load_model, save_model
from quantkit.runtime.session import create_session


def test_threads_and_provider(artifact: Path) -> None:
    session = create_session(artifact, threads=2)
    assert session.get_session_options().intra_op_num_threads == 2
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        create_session(tmp_path / "none.onnx")


def test_damaged_file_names_the_runtime(artifact: Path) -> None:
    artifact.write_bytes(artifact.read_bytes()[:60])
    with pytest.raises(ModelError, match="does not load in ONNX Runtime") as caught:
        create_session(artifact)
    assert "\n" not in str(caught.value)


def with_version(artifact: Path, *, opset: int = 18, ir: int = 8) -> Path:
    model = onnx.load(artifact)
    model.opset_import[0].version, model.ir_version = opset, ir
    save_model(model, artifact)
    return artifact


def test_an_operator_set_that_is_too_new(artifact: Path) -> None:
    needs = r"needs operator set 99, and this ONNX Runtime \S+ knows \d+: use a newer one, or make"
    with pytest.raises(ModelError, match=needs):
        create_session(with_version(artifact, opset=99))


def test_an_ir_version_that_is_too_new(artifact: Path) -> None:
    needs = r"needs ONNX IR version 99, and this ONNX Runtime \S+ knows \d+: use a newer one, or"
    with pytest.raises(ModelError, match=needs):
        create_session(with_version(artifact, ir=99))


class TestOldRuntimes:
    """What older releases said, word for word."""

    @pytest.fixture
    def load(self, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
        """The error when a given version of ONNX Runtime says no to ``artifact``."""

        def load(version: str, said: str) -> str:
            def refuse(*_: object, **__: object) -> None:
                raise RuntimeError(said)

            monkeypatch.setattr("onnxruntime.InferenceSession", refuse)
            monkeypatch.setattr("onnxruntime.__version__", version)
            with pytest.raises(ModelError) as caught:
                create_session(artifact)
            return str(caught.value)

        return load

    @pytest.mark.parametrize(
        ("said", "needs"),
        [
            (
                "Opset 25 is under development and support for this is limited. The operator "
                "schemas and or other functionality may change before next ONNX release and in "
                "this case ONNX Runtime will not guarantee backward compatibility. Current "
                "official support for domain ai.onnx is till opset 21.\n",
                "operator set 25, and this ONNX Runtime 1.20.1 knows 21: use onnxruntime >= 1.24",
            ),
            (
                "Unsupported model IR version: 11, max supported IR version: 10",
                "ONNX IR version 11, and this ONNX Runtime 1.20.1 knows 10: use onnxruntime "
                ">= 1.23",
            ),
        ],
    )
    def test_the_release_that_loads_it_is_named(
        self, load: Callable[[str, str], str], said: str, needs: str
    ) -> None:
        found = load("1.20.1", f"[ONNXRuntimeError] : 1 : FAIL : Load model failed: {said}")
        assert f"tiny.onnx needs {needs}, or make the model for an older one" in found

    def test_a_missing_kernel_names_the_first_release_that_has_it(
        self, artifact: Path, load: Callable[[str, str], str]
    ) -> None:
        model = onnx.load(with_version(artifact, opset=21, ir=10))
        packed = onnx.TensorProto(
            name="packed", data_type=onnx.TensorProto.INT4, dims=[2], raw_data=b"\x21"
        )
        model.graph.initializer.append(packed)
        cast = onnx.helper.make_node("Cast", ["packed"], ["unpacked"], to=onnx.TensorProto.INT8)
        model.graph.node.append(cast)
        save_model(model, artifact)
        said = "NOT_IMPLEMENTED : Could not find an implementation for Cast(21) node with name ''"
        assert "1.20.1 does not run: use onnxruntime >= 1.23" in load("1.20.1", said)

    def test_a_missing_kernel_of_a_release_that_should_have_it(
        self, load: Callable[[str, str], str]
    ) -> None:
        said = "NOT_IMPLEMENTED : Could not find an implementation for Slice(13) node"
        assert load("1.15.1", said).endswith(f"does not load in ONNX Runtime 1.15.1: {said}")


def test_negative_threads(artifact: Path) -> None:
    with pytest.raises(InputError, match="threads must be 0"):
        create_session(artifact, threads=-1)


def test_a_failing_run_is_said_once(artifact: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = load_model(artifact)
    model.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [1], [7]))
    model.graph.node.append(helper.make_node("Reshape", ["features", "shape"], ["seven"]))
    model.graph.output.append(helper.make_tensor_value_info("seven", TensorProto.FLOAT, [7]))
    save_model(model, artifact)
    session = create_session(artifact)
    feed = {"features": np.zeros((1, 3, 40), np.float32), "lengths": np.array([3])}
    with pytest.raises(Exception, match="Non-zero status code"):
        session.run(None, feed)
    assert capfd.readouterr().err == ""
