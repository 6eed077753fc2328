"""The log-mel front end of :mod:`quantkit.audio.frontend` as standard ONNX operators.

Every table (Fourier basis, window, mel filters) is computed from ``Range``, ``Sin`` and ``Log``
on constants, so it costs no bytes on disk and the runtime folds it once, while it loads. The
spectrum is taken in double, as in NumPy: in single precision a loud low band would drown the
rounding of a quiet high one, which normalisation then brings up.

The Hann window is even about its middle, and a power spectrum does not change when the frame is
shifted, so a frame splits there into an even part, which needs cosines only, and an odd part,
which needs sines only: half the products of a full Fourier matrix.
"""

from __future__ import annotations

import math
from dataclasses import replace
from string import Template
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.audio.frontends import AnyFrontend
from quantkit.errors import ModelError
from quantkit.exporting.feature_nodes import MADE_OF_NODES, feature_nodes
from quantkit.graph.info import info_of, set_info
from quantkit.graph.layers import FRONTEND_PREFIX
from quantkit.runtime.padding import MIN_FRAMES

# Shape's start attribute is the newest thing that the front end uses.
_OLDEST_OPSET = 15

_BODY = Template("""
frontend (waveform, lengths) => (features, frames) {
  given = Shape <start = 1, end = 2> (waveform)
  wanted = Max (given, shortest)
  missing = Sub (wanted, given)
  pads = Concat <axis = 0> (no_pads, missing)
  padded = Pad (waveform, pads)

  beyond_first = Sub (wanted, window)
  last = Div (beyond_first, hop)
  count = Add (last, one)
  last_start = Mul (last, hop)
  end = Add (last_start, window)
  trimmed = Slice (padded, none, end, one)
  blocks = Reshape (trimmed, block_shape)
  count_scalar = Squeeze (count)
  index = Range (zero, count_scalar, step)
  first_blocks = Mul (index, hop_blocks)
  first_blocks_column = Unsqueeze (first_blocks, one)
  window_index = Range (zero, window_blocks, step)
  block_index = Add (first_blocks_column, window_index)
  gathered = Gather <axis = 1> (blocks, block_index)
  slices = Reshape (gathered, slice_shape)

  right = Slice (slices, right_start, window, two)
  left = Slice (slices, left_start, none, two, minus_one)
  right_double = Cast <to = $double> (right)
  left_double = Cast <to = $double> (left)
  even = Add (right_double, left_double)
  odd = Sub (right_double, left_double)

  half_index = Range (zero_double, half_size, one_double)
  offset = Add (half_index, centre_shift)
  taper_angle = Mul (offset, window_turn)
  taper_quarter = Add (taper_angle, quarter_turn)
  taper_cosine = Sin (taper_quarter)
  taper_swing = Mul (taper_cosine, half)
  hann = Add (taper_swing, half)
  above_half = Add (offset, half)
  pair_share = Min (above_half, one_double)
  taper = Mul (hann, pair_share)
  taper_column = Unsqueeze (taper, one)
  bin_index = Range (zero_double, bins, one_double)
  bin_angle = Mul (bin_index, fft_turn)
  offset_column = Unsqueeze (offset, one)
  angle = Mul (offset_column, bin_angle)
  angle_quarter = Add (angle, quarter_turn)
  cosines = Sin (angle_quarter)
  sines = Sin (angle)
  cosine_basis = Mul (cosines, taper_column)
  sine_basis = Mul (sines, taper_column)

  real = MatMul (even, cosine_basis)
  imaginary = MatMul (odd, sine_basis)
  real_power = Mul (real, real)
  imaginary_power = Mul (imaginary, imaginary)
  power = Add (real_power, imaginary_power)

  bin_ratio = Mul (bin_index, bin_over_700)
  bin_shifted = Add (bin_ratio, one_double)
  bin_log = Log (bin_shifted)
  bin_bands = Mul (bin_log, bands_per_log)
  bin_position = Sub (bin_bands, first_band)
  bin_position_column = Unsqueeze (bin_position, one)
  band_index = Range (zero_double, bands, one_double)
  rising = Sub (bin_position_column, band_index)
  falling = Sub (two_double, rising)
  triangle = Min (rising, falling)
  filters = Max (triangle, zero_double)

  band_power = MatMul (power, filters)
  lifted = Add (band_power, log_offset)
  mel = Log (lifted)

  in_batch = Min (lengths, given)
  with_hop = Add (in_batch, hop_minus_window)
  whole = Div (with_hop, hop)
  frames = Max (whole, none)
  frames_column = Unsqueeze (frames, one)
  inside_flat = Less (index, frames_column)
  inside = Unsqueeze (inside_flat, two)
  at_least_one = Max (frames, one)
  divisor_flat = Cast <to = $double> (at_least_one)
  divisor = Unsqueeze (divisor_flat, one_two)

  valid = Where (inside, mel, zero_double)
  sum = ReduceSum (valid, one)
  mean = Div (sum, divisor)
  deviation = Sub (mel, mean)
  centred = Where (inside, deviation, zero_double)
  squared = Mul (centred, centred)
  squared_sum = ReduceSum (squared, one)
  variance = Div (squared_sum, divisor)
  floored = Add (variance, variance_floor)
  scale = Sqrt (floored)
  scaled = Div (centred, scale)
  features = Cast <to = $float> (scaled)
}
""")


def can_fuse(frontend: AnyFrontend) -> bool:
    """Whether a front end can be a part of a graph."""
    return type(frontend) in (Frontend, *MADE_OF_NODES)


def fuse_frontend(model: onnx.ModelProto, frontend: AnyFrontend) -> onnx.ModelProto:
    """A model from ``waveform`` and ``lengths`` in samples, made of one from ``features``.

    One that takes no ``lengths``, because it hears clips one by one, takes none afterwards.

    Further inputs, such as those of a decoder that is joined to it, stay.

    Clips of a batch do not see each other: mean and variance are taken over a clip's own frames,
    and frames past its end are zero. A clip shorter than one window counts as no frames. The
    metadata is updated; ``model`` is unchanged.

    Raises:
        ModelError: ``model`` does not take ``features`` (batch, frames, mel_bands), is fused
            already, or its opset is older than 15.
    """
    info = info_of(model)
    inputs = {value.name: value for value in model.graph.input}
    if info.fused or "features" not in inputs:
        raise ModelError(
            f"a front end cannot be fused in front of inputs {sorted(inputs)}; it needs `features`"
        )
    bands = inputs["features"].type.tensor_type.shape.dim[2].dim_value
    made = int(getattr(frontend, "mel_bands", 0))
    if not can_fuse(frontend) or bands not in (0, made):
        raise ModelError(f"the model takes {bands} bands, the front end has {made}")
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _OLDEST_OPSET:
        raise ModelError(f"opset {opset} is too old for the front end; it needs {_OLDEST_OPSET}")

    fused = onnx.ModelProto()
    fused.CopyFrom(model)
    graph = fused.graph
    nodes, tables = (
        _frontend_nodes(frontend)
        if isinstance(frontend, Frontend)
        else feature_nodes(frontend, opset)
    )
    takes_lengths = "lengths" in inputs
    if not takes_lengths:
        nodes = [*_whole_lengths(), *nodes]
    model_nodes = list(graph.node)
    for node in model_nodes:
        for position, name in enumerate(node.input):
            if name == "lengths":
                node.input[position] = f"{FRONTEND_PREFIX}frames"
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model_nodes]
    del graph.node[:]
    graph.node.extend([*nodes, *copies])
    graph.initializer.extend(tables)
    batch = inputs["features"].type.tensor_type.shape.dim[0].dim_param or "batch"
    waveform = helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [batch, "samples"])
    lengths = helper.make_tensor_value_info("lengths", TensorProto.INT64, [batch])
    others = [value for name, value in inputs.items() if name not in ("features", "lengths")]
    del graph.input[:]
    graph.input.extend([waveform, *([lengths] if takes_lengths else []), *others])
    set_info(fused, replace(info, frontend=frontend, fused=True))
    return fused


def _whole_lengths() -> list[onnx.NodeProto]:
    """``lengths`` of clips without padding."""
    batch, samples = f"{FRONTEND_PREFIX}batch", f"{FRONTEND_PREFIX}samples_of_all"
    return [
        helper.make_node("Shape", ["waveform"], [batch], batch, start=0, end=1),
        helper.make_node("Shape", ["waveform"], [samples], samples, start=1, end=2),
        helper.make_node("Expand", [samples, batch], ["lengths"], f"{FRONTEND_PREFIX}lengths"),
    ]


def _frontend_nodes(frontend: Frontend) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    text = _BODY.substitute(double=TensorProto.DOUBLE, float=TensorProto.FLOAT)
    nodes = list(onnx.parser.parse_graph(text).node)
    ports = {"waveform", "lengths", "features"}
    for node in nodes:
        node.name = FRONTEND_PREFIX + node.output[0]
        for names in (node.input, node.output):
            names[:] = [name if name in ports else FRONTEND_PREFIX + name for name in names]
    tables = [
        numpy_helper.from_array(value, FRONTEND_PREFIX + name)
        for name, value in _constants(frontend).items()
    ]
    return nodes, tables


def _constants(frontend: Frontend) -> dict[str, npt.NDArray[Any]]:
    window, hop, size = frontend.window, frontend.hop, frontend.fft_size
    # Frames start at multiples of the hop; both it and the window are whole blocks long, so
    # that a frame is gathered block by block instead of sample by sample.
    block = math.gcd(window, hop)

    def to_bands(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    low, high = to_bands(frontend.low_hz), to_bands(frontend.high_hz)
    band_width = (high - low) / (frontend.mel_bands + 1)
    integers: dict[str, int | list[int]] = {
        "none": [0],
        "one": [1],
        "two": [2],
        "minus_one": [-1],
        "one_two": [1, 2],
        "zero": 0,
        "step": 1,
        "no_pads": [0, 0, 0],
        "shortest": [window + (MIN_FRAMES - 1) * hop],
        "window": [window],
        "hop": [hop],
        "hop_minus_window": [hop - window],
        "hop_blocks": hop // block,
        "window_blocks": window // block,
        "block_shape": [0, -1, block],
        "slice_shape": [0, 0, window],
        "right_start": [(window + 1) // 2],
        "left_start": [window // 2],
    }
    doubles = {
        "zero_double": 0.0,
        "one_double": 1.0,
        "two_double": 2.0,
        "half": 0.5,
        # ONNX Runtime 1.15 has a Sin in double but no Cos: cosines are sines of a shifted angle.
        "quarter_turn": 0.5 * math.pi,
        "half_size": float(window // 2),
        "centre_shift": 0.5 * (window % 2),
        "window_turn": 2.0 * math.pi / window,
        "fft_turn": 2.0 * math.pi / size,
        "bins": float(size // 2 + 1),
        "bands": float(frontend.mel_bands),
        "bin_over_700": frontend.sample_rate / size / 700.0,
        "bands_per_log": 2595.0 / math.log(10.0) / band_width,
        "first_band": low / band_width,
        "log_offset": frontend.log_offset,
        "variance_floor": frontend.variance_floor,
    }
    constants: dict[str, npt.NDArray[Any]] = {}
    constants.update({name: np.array(value, np.int64) for name, value in integers.items()})
    constants.update({name: np.array(value, np.float64) for name, value in doubles.items()})
    return constants
