"""One weight of several layers is trained once, and stored once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from quantkit.codecs.catalogue import CodecChoice
from quantkit.finetuning.student import finished, make_student
from quantkit.graph.artifact import save_model
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.inspection import stored_layers
from quantkit.quantization.pipeline import choices_and_observations, quantize_model
from quantkit.quantization.prepared import PreparedModel
from tests.quantization.test_tied_weights import FORMS, IDS, WORDS, scores, written

pytestmark = pytest.mark.slow


def _made(source: Path, codec: str, compute: str):
    prepared = PreparedModel.of(source)
    feeds = prepared.feeds([("x", {"ids": IDS})])
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))
    assigned, seen = choices_and_observations(
        prepared, source.with_name("tuned.onnx"), settings, None, feeds, True, None
    )
    output = prepared.original.graph.output[0].name
    return make_student(assigned, seen, [output]), assigned, seen, output, settings


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("codec", "compute"),
    [("bitplane:3", "dynamic"), ("grouped:3", "float32"), ("sparse:4,keep=50", "float32")],
)
def test_both_layers_get_what_was_trained_and_the_file_holds_it_once(
    form: str, codec: str, compute: str, tmp_path: Path
) -> None:
    source = written(form, tmp_path)
    student, assigned, seen, output, settings = _made(source, codec, compute)
    assert len(student.layers) == 4
    assert len(student.weights) == 3
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    student.refresh()
    with torch.no_grad():
        wanted = student({"ids": torch.from_numpy(IDS)})[output].reshape(-1, WORDS).numpy()
    model, _ = finished(assigned, seen, student)
    path = tmp_path / "tuned.onnx"
    save_model(model, path)
    plain = quantize_model(source, tmp_path / "plain.onnx", settings, [("x", {"ids": IDS})])
    assert path.stat().st_size <= 1.02 * plain.size_bytes
    rows = {row.name: row.bytes for row in stored_layers(onnx.load(path))}
    assert rows["head"] <= 4 * WORDS + 8 < rows["embedding"]
    # Sums in another order round an activation to the next step now and then.
    found = scores(path)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.999
    assert np.abs(found - scores(plain.path)).mean() > 10 * np.abs(found - wanted).mean()


def test_a_gradient_reaches_the_weight_from_both_layers(tmp_path: Path) -> None:
    student, *_, output, _ = _made(written("transpose", tmp_path), "bitplane:4", "float32")
    said = student({"ids": torch.from_numpy(IDS[:, :1])})[output]
    said.square().sum().backward()
    gradient = student.weights["embedding"].steps.grad
    assert gradient is not None
    # The output layer reads the rows of all words, the embedding those that were said.
    assert (gradient != 0).any(dim=1).sum() > WORDS // 2
