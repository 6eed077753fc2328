"""What is read from a file of quantkit is what was written into it, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.calibration.ranges import StoredGrid
from quantkit.codecs.base import Encoded
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import save_model
from quantkit.graph.editor import GraphEditor
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.operators import layer_weights
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.kernels import fast_fir, split_groups
from quantkit.quantization.kernels.activations import static_grid
from quantkit.quantization.pipeline import choices_and_observations
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.rewrite import static_layout
from quantkit.quantization.stored import StoredFile, read_stored
from quantkit.quantization.weights import WeightStore
from quantkit.runtime.unpacking import unpack_model
from tests.quantization.kernels import test_aligned_channels as aligned
from tests.quantization.kernels import test_fast_fir as fir
from tests.recurrent_model import recurrent_recogniser
from tests.sensitivity.graphs import attention, tied
from tests.small_model import masked_convolutions, noise_feeds

pytestmark = pytest.mark.slow


@dataclass
class Case:
    model: onnx.ModelProto
    clips: list[tuple[str, dict[str, np.ndarray]]]
    settings: dict[str, Any] = field(default_factory=dict)
    fitting: PtqSettings | None = None


def convolutions(**settings: Any) -> Case:
    return Case(masked_convolutions(), noise_feeds(60, 201), settings)


def matrices(**settings: Any) -> Case:
    return Case(attention()[0], [(str(n), attention(frames=n)[1]) for n in (9, 30)], settings)


def embedding(**settings: Any) -> Case:
    return Case(tied()[0], [(str(n), tied(frames=n)[1]) for n in (9, 30)], settings)


def recurrent(**settings: Any) -> Case:
    return Case(recurrent_recogniser(), noise_feeds(60, 131), settings)


def rules(*texts: str) -> tuple[LayerRule, ...]:
    return tuple(LayerRule.parse(text) for text in texts)


def codec(text: str) -> CodecChoice:
    return CodecChoice.parse(text)


CASES = {
    "static": lambda: convolutions(compute="static"),
    "static, 1 bit": lambda: convolutions(compute="static", codec=codec("bitplane:1")),
    "static, grouped": lambda: convolutions(compute="static", codec=codec("grouped:3")),
    "static, rice": lambda: convolutions(compute="static", codec=codec("rice:2.5")),
    "static, ternary": lambda: convolutions(compute="static", codec=codec("ternary")),
    "static, native": lambda: convolutions(compute="static", codec=codec("native:4")),
    "static, few bits": lambda: convolutions(compute="static", activation_bits=5),
    "static, 16 bits": lambda: convolutions(compute="static", activation_bits=16),
    "dynamic": lambda: convolutions(compute="dynamic", codec=codec("bitplane:4")),
    "dynamic, by clip": lambda: convolutions(
        compute="dynamic", dynamic_range="per-clip", codec=codec("codebook:4")
    ),
    "float, few bits": lambda: convolutions(compute="float32", codec=codec("grouped:3")),
    "float16": lambda: convolutions(compute="float32", codec=codec("float16")),
    "channels in eights": lambda: Case(aligned.chain(24, 70, 70, 20, 6), aligned.CLIPS),
    "groups": lambda: Case(aligned.chain(24, 48, 48, 6, groups=2), aligned.CLIPS),
    "dynamic groups": lambda: Case(
        aligned.chain(24, 48, 48, 6, groups=2), aligned.CLIPS, {"compute": "dynamic"}
    ),
    "fast filters": lambda: Case(
        fir.two_convolutions(), fir.CLIPS, {"rules": rules("long=grouped:4@static/6")}
    ),
    "matrices, static": lambda: matrices(compute="static", codec=codec("bitplane:4")),
    "matrices, dynamic": lambda: matrices(compute="dynamic", codec=codec("bitplane:4")),
    "matrices, float": lambda: matrices(compute="float32", codec=codec("bitplane:3")),
    "blocks of 4": lambda: matrices(compute="matmul-nbits"),
    "blocks of 8": lambda: matrices(compute="matmul-nbits", codec=codec("blocks:8")),
    "blocks of 2": lambda: matrices(compute="matmul-nbits", codec=codec("blocks:2")),
    "embedding": lambda: embedding(compute="dynamic", codec=codec("bitplane:5")),
    "embedding in blocks": lambda: embedding(compute="matmul-nbits"),
    "recurrent, dynamic": lambda: recurrent(compute="dynamic"),
    "recurrent, few bits": lambda: recurrent(compute="float32", codec=codec("bitplane:3")),
}

#: Where the file's last digits are not those of the codec: factors of blocks are multiplied in
#: another order, and long vectors of scales are float16.
ROUNDED = {
    **dict.fromkeys(("blocks of 4", "blocks of 8", "blocks of 2", "embedding in blocks"), 3e-7),
    "recurrent, few bits": 5e-4,
}


@dataclass
class Written:
    """A file, and what went into it."""

    stored: StoredFile
    placed: dict[str, Any]
    quantized: list[str]
    encoded: dict[str, Encoded]
    grids: dict[str, tuple[np.float32, int]]
    path: Path


def written(case: Case, folder: Path) -> Written:
    source = folder / "float32.onnx"
    save_model(case.model, source)
    prepared = PreparedModel(source)
    feeds = CalibrationData(case.clips, prepared.info if prepared.info.task else ArtifactInfo())
    settings = QuantizeSettings(**case.settings)
    assigned, seen = choices_and_observations(
        prepared, folder / "q.onnx", settings, case.fitting, feeds, True, None
    )
    placed = layer_weights(GraphEditor(assigned.model))
    quantized = [n for n, choice in assigned.choices.items() if not choice.is_plain_float]
    layout = static_layout(assigned.model, assigned.choices)
    grids = {
        name: static_grid(seen.ranges[value], layout.bits[value])
        for name, value in layout.inputs.items()
    }
    encoded: dict[str, Encoded] = {}
    encode = WeightStore.encode

    def spied(store: WeightStore, layer: str, *args: Any, **options: Any) -> Encoded:
        found = encode(store, layer, *args, **options)
        encoded[layer] = found
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightStore, "encode", spied)
        path = quantize_model(
            prepared, folder / "q.onnx", settings, feeds, fitting=case.fitting
        ).path
    return Written(read_stored(path), placed, quantized, encoded, grids, path)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.vdot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.fixture
def small_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels for large layers compute small ones."""
    monkeypatch.setattr(split_groups, "FEWEST_WEIGHTS", 1)
    monkeypatch.setattr(fast_fir, "_FEWEST_WEIGHTS", 1)
    monkeypatch.setattr(fast_fir, "_FEWEST_TAPS", 2)


@pytest.mark.parametrize("name", CASES)
def test_weights_and_grids_are_those_that_were_written(name, small_kernels, tmp_path) -> None:
    made = written(CASES[name](), tmp_path)
    assert made.quantized
    assert not made.stored.unread
    for layer in made.quantized:
        form = made.stored.forms[layer]
        encoded = made.encoded[layer]
        numbers = encoded.dequantized()
        if form.axis is not None and numbers.ndim == 2 and encoded.axis != form.axis:
            numbers = numbers.T
        if name in ROUNDED:
            np.testing.assert_allclose(
                form.weight, numbers.reshape(form.weight.shape), rtol=ROUNDED[name], err_msg=layer
            )
        else:
            np.testing.assert_array_equal(form.weight, numbers.reshape(form.weight.shape), layer)
        # In the order in which the float layer reads it, it is like that layer's own weight.
        found = form.weight_for(made.placed[layer])
        assert found is not None, layer
        assert cosine(found, made.placed[layer].array()) > 0.75, layer
    for layer, (scale, zero_point) in made.grids.items():
        grid = made.stored.forms[layer].input_grid
        assert isinstance(grid, StoredGrid), layer
        assert (grid.scale, grid.zero_point) == (scale, zero_point), layer


@pytest.mark.parametrize("name", ["static, grouped", "embedding", "recurrent, dynamic"])
def test_an_unpacked_file_says_the_same(name, tmp_path) -> None:
    made = written(CASES[name](), tmp_path)
    unpacked = read_stored(unpack_model(made.path, tmp_path / "unpacked.onnx").path)
    for layer, form in made.stored.forms.items():
        np.testing.assert_array_equal(unpacked.forms[layer].weight, form.weight)
        assert unpacked.forms[layer].input_grid == form.input_grid


def test_biases_are_the_corrected_ones_of_the_file(tmp_path) -> None:
    case = convolutions(compute="static", codec=codec("bitplane:2"))
    corrected = written(case, tmp_path).stored
    case.fitting = PtqSettings(bias_correction=False)
    (tmp_path / "plain").mkdir()
    plain = written(case, tmp_path / "plain")
    for layer, form in plain.stored.forms.items():
        own = plain.placed[layer].own_bias()
        bias, changed = form.bias, corrected.forms[layer].bias
        assert bias is not None
        assert changed is not None
        # As int32 in steps of input scale times weight scale, or as float32.
        np.testing.assert_allclose(bias, own, atol=5e-3)
        assert np.abs(changed - own).max() > 2e-2


def test_ranges_lie_where_the_grid_of_the_file_ends() -> None:
    grid = StoredGrid.of(0.5, 3, 3)
    assert (grid.lowest, grid.highest) == (-1.5, 2.0)
    assert static_grid(grid, 3) == (np.float32(0.5), 3)
    assert grid.of_bits(4) == StoredGrid.of(0.5, 3, 4)
    # With other bits it is a range like another.
    assert static_grid(grid, 8) == static_grid(
        replace(StoredGrid.of(1, 0), lowest=-1.5, highest=2.0, bits=1), 8
    )
