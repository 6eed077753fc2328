"""The parity check passes on a faithful graph and names the worst case of a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import onnx  # noqa: E402

from quantkit.audio.frontend import Frontend  # noqa: E402
from quantkit.errors import InputError, ParityError  # noqa: E402
from quantkit.exporting.parity import check_parity  # noqa: E402
from quantkit.exporting.references import Wav2LetterReference  # noqa: E402
from quantkit.exporting.to_onnx import export_wav2letter  # noqa: E402
from quantkit.graph.artifact import save_model  # noqa: E402
from quantkit.models.wav2letter import Wav2Letter  # noqa: E402
from quantkit.text.labels import Labels  # noqa: E402


@pytest.fixture(scope="module")
def faithful(model: Wav2Letter, labels: Labels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parity") / "float32.onnx"
    export_wav2letter(model, labels, Frontend(), path)
    return path


def small_weight_error(proto: onnx.ModelProto) -> None:
    weight = next(t for t in proto.graph.initializer if t.name == "layer5.weight")
    values = np.frombuffer(weight.raw_data, np.float32) * np.float32(1.01)
    weight.raw_data = values.tobytes()


def lost_mask(proto: onnx.ModelProto) -> None:
    for node in proto.graph.node:
        node.input[:] = ["layer4.relu" if n == "layer4.mask" else n for n in node.input]


def lengths_off_by_one(proto: onnx.ModelProto) -> None:
    add = next(node for node in proto.graph.node if node.output[0] == "output_lengths")
    add.op_type = "Sub"


def not_a_number(proto: onnx.ModelProto) -> None:
    bias = next(t for t in proto.graph.initializer if t.name == "layer11.bias")
    bias.raw_data = np.full(tuple(bias.dims), np.nan, np.float32).tobytes()


def test_faithful_graph_passes_in_every_case(model: Wav2Letter, faithful: Path) -> None:
    report = check_parity(
        Wav2LetterReference(model), faithful, lengths=(2, 33, 60), batch_sizes=(1, 4)
    )
    assert len(report.cases) == 6
    assert report.worst.difference < 1e-5


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (small_weight_error, "output frame .* instead of"),
        (lost_mask, "a batch of 4 × 60 frames, clip [123] "),
        (lengths_off_by_one, "output shape .* and lengths .* instead of"),
        (not_a_number, "nan instead of"),
    ],
)
def test_tampered_graph_fails_loudly(
    model: Wav2Letter,
    faithful: Path,
    tmp_path: Path,
    damage: Callable[[onnx.ModelProto], None],
    message: str,
) -> None:
    proto = onnx.load(faithful)
    damage(proto)
    save_model(proto, tmp_path / "tampered.onnx")
    with pytest.raises(ParityError, match=message) as caught:
        check_parity(
            Wav2LetterReference(model),
            tmp_path / "tampered.onnx",
            lengths=(60,),
            batch_sizes=(1, 4),
        )
    assert "tampered.onnx differs from PyTorch" in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_model_in_training_mode_is_checked_in_evaluation_mode(
    model: Wav2Letter, faithful: Path
) -> None:
    model.train()
    try:
        check_parity(Wav2LetterReference(model), faithful, lengths=(40,), batch_sizes=(2,))
        assert model.training
    finally:
        model.eval()


def test_nothing_to_compare_is_an_error(model: Wav2Letter, faithful: Path) -> None:
    with pytest.raises(InputError, match="at least"):
        check_parity(Wav2LetterReference(model), faithful, lengths=(), batch_sizes=(1,))
