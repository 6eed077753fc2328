"""Frames, spectra and mel filters as standard ONNX operators.

As in :mod:`quantkit.exporting.frontend_graph`, every table is computed from ``Range``, ``Sin`` and
``Log`` on constants, so it costs no bytes on disk, and sums are taken in double.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from quantkit.audio.mel import CORNER_HERTZ, HERTZ_PER_MEL, LOG_STEP, slaney_mel
from quantkit.exporting.node_builder import NodeBuilder


def frames_of(b: NodeBuilder, samples: str, count: str, window: int, hop: int) -> str:
    """(batch, frames, window): slices of ``samples`` that begin at every ``hop``-th one.

    Args:
        samples: (batch, (frames - 1) · hop + window).
        count: (1,) number of frames.
    """
    block = math.gcd(window, hop)
    shape = b.constant("block_shape", [0, -1, block])
    blocks = b.add("blocks", "Reshape", samples, shape)
    number = b.add("count_scalar", "Squeeze", count)
    zero, one = b.constant("zero", 0), b.constant("step", 1)
    index = b.add("index", "Range", zero, number, one)
    first = b.add("first_blocks", "Mul", index, b.constant("hop_blocks", hop // block))
    column = b.add("first_blocks_column", "Unsqueeze", first, b.constant("one", [1]))
    within = b.add("window_index", "Range", zero, b.constant("window_blocks", window // block), one)
    wanted = b.add("block_index", "Add", column, within)
    gathered = b.add("gathered", "Gather", blocks, wanted, axis=1)
    return b.add("slices", "Reshape", gathered, b.constant("slice_shape", [0, 0, window]))


def end_of_frames(b: NodeBuilder, count: str, window: int, hop: int) -> str:
    """(1,): how many samples so many frames cover."""
    before = b.add("frames_before", "Sub", count, b.constant("one", [1]))
    start = b.add("last_start", "Mul", before, b.constant("hop", [hop]))
    return b.add("covered", "Add", start, b.constant("window", [window]))


def hann(b: NodeBuilder, window: int, period: int) -> str:
    """(window,) of a Hann window that repeats every ``period`` samples."""
    index = _range(b, "sample_index", window)
    angle = b.add("window_angle", "Mul", index, b.double("window_turn", 2 * math.pi / period))
    cosine = _cosine(b, "window_cosine", angle)
    half = b.double("half", 0.5)
    swing = b.add("window_swing", "Mul", cosine, half)
    return b.add("hann", "Sub", half, swing)


def power_spectrum(b: NodeBuilder, frames: str, taper: str, window: int, size: int) -> str:
    """(batch, frames, size // 2 + 1) powers.

    Args:
        frames: (batch, frames, window), in double.
        taper: (window,), what they are multiplied by.
        size: points of the spectrum.
    """
    bins = _range(b, "bin_index", size // 2 + 1)
    turns = b.add("bin_angle", "Mul", bins, b.double("fft_turn", 2 * math.pi / size))
    one = b.constant("one", [1])
    samples = b.add("sample_column", "Unsqueeze", _range(b, "sample_index", window), one)
    angle = b.add("angle", "Mul", samples, turns)
    column = b.add("taper_column", "Unsqueeze", taper, one)
    cosines = b.add("cosine_basis", "Mul", _cosine(b, "cosines", angle), column)
    sines = b.add("sine_basis", "Mul", b.add("sines", "Sin", angle), column)
    real = b.add("real", "MatMul", frames, cosines)
    imaginary = b.add("imaginary", "MatMul", frames, sines)
    squares = b.add("real_power", "Mul", real, real)
    return b.add("power", "Add", squares, b.add("imaginary_power", "Mul", imaginary, imaginary))


def slaney_filters(
    b: NodeBuilder, bands: int, size: int, sample_rate: int, high_hz: float | None = None
) -> str:
    """(size // 2 + 1, bands); see :func:`quantkit.audio.mel.slaney_filters`."""
    highest = slaney_mel(sample_rate / 2.0 if high_hz is None else high_hz)
    step = b.double("mel_step", highest / (bands + 1))
    mels = b.add("mels", "Mul", _range(b, "edge_index", bands + 2), step)
    corner = b.double("corner_mel", CORNER_HERTZ / HERTZ_PER_MEL)
    below = b.add("linear", "Mul", mels, b.double("hertz_per_mel", HERTZ_PER_MEL))
    beyond = b.add("beyond_corner", "Sub", mels, corner)
    power = b.add(
        "mel_power", "Exp", b.add("log_mel", "Mul", beyond, b.double("log_step", LOG_STEP))
    )
    above = b.add("logarithmic", "Mul", power, b.double("corner", CORNER_HERTZ))
    edges = b.add("edges", "Where", b.add("is_low", "Less", mels, corner), below, above)
    left = b.slice("left_edges", edges, 0, bands, 0)
    middle = b.slice("middle_edges", edges, 1, bands + 1, 0)
    right = b.slice("right_edges", edges, 2, bands + 2, 0)
    hertz = b.double("hertz_per_bin", sample_rate / size)
    bins = b.add("bin_hertz", "Mul", _range(b, "bin_index", size // 2 + 1), hertz)
    column = b.add("bin_column", "Unsqueeze", bins, b.constant("one", [1]))
    up = b.add("above_left", "Sub", column, left)
    rising = b.add("rising", "Div", up, b.add("left_width", "Sub", middle, left))
    down = b.add("below_right", "Sub", right, column)
    falling = b.add("falling", "Div", down, b.add("right_width", "Sub", right, middle))
    width = b.add("band_width", "Sub", right, left)
    area = b.add("area", "Div", b.double("two_double", 2.0), width)
    return b.add("filters", "Mul", _triangle(b, rising, falling), area)


def htk_filters(
    b: NodeBuilder, bands: int, size: int, sample_rate: int, low_hz: float, high_hz: float
) -> str:
    """(size // 2 + 1, bands); see :func:`quantkit.audio.mel.htk_filters`."""
    low, high = (math.log(1.0 + hertz / 700.0) for hertz in (low_hz, high_hz))
    width = (high - low) / (bands + 1)
    ratio = b.double("bin_over_700", sample_rate / size / 700.0)
    bins = b.add("bin_ratio", "Mul", _range(b, "bin_index", size // 2 + 1), ratio)
    shifted = b.add("bin_shifted", "Add", bins, b.double("one_double", 1.0))
    logarithm = b.add("bin_log", "Log", shifted)
    scaled = b.add("bin_bands", "Mul", logarithm, b.double("bands_per_log", 1.0 / width))
    position = b.add("bin_position", "Sub", scaled, b.double("first_band", low / width))
    column = b.add("bin_column", "Unsqueeze", position, b.constant("one", [1]))
    rising = b.add("rising", "Sub", column, _range(b, "band_index", bands))
    falling = b.add("falling", "Sub", b.double("two_double", 2.0), rising)
    return _triangle(b, rising, falling)


def as_double(b: NodeBuilder, name: str, value: str) -> str:
    """``value`` in double precision."""
    return b.add(name, "Cast", value, to=TensorProto.DOUBLE)


def _triangle(b: NodeBuilder, rising: str, falling: str) -> str:
    lower = b.add("triangle", "Min", rising, falling)
    return b.add("triangles", "Max", lower, b.double("zero_double", 0.0))


def _cosine(b: NodeBuilder, name: str, angle: str) -> str:
    # ONNX Runtime 1.15 has a Sin in double but no Cos: cosines are sines of a shifted angle.
    shifted = b.add(f"{name}_angle", "Add", angle, b.double("quarter_turn", 0.5 * math.pi))
    return b.add(name, "Sin", shifted)


def _range(b: NodeBuilder, name: str, count: int) -> str:
    """0, 1, … in double; each is made once."""
    full = b.prefix + name
    if any(node.name == full for node in b.nodes):
        return full
    limits = [b.double("zero_double", 0.0), b.double(f"{name}_end", float(count))]
    return b.add(name, "Range", *limits, b.constant("one_double", 1.0, np.float64))
