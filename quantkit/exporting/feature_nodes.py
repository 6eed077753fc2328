"""The front ends of NeMo, Kaldi, GigaAM and Whisper as ONNX nodes.

Each gives the numbers of its NumPy form for every clip of a batch, whatever lies behind its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from quantkit.audio import gigaam_frontend, kaldi_frontend, nemo_frontend, whisper_frontend
from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.gigaam_frontend import GigaamFrontend
from quantkit.audio.hann_kaldi_frontend import HannKaldiFrontend
from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.audio.sherpa_nemo_frontend import SherpaNemoFrontend
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.exporting import spectrum_nodes as spectrum
from quantkit.exporting.node_builder import NodeBuilder
from quantkit.graph.layers import FRONTEND_PREFIX


def feature_nodes(
    frontend: AnyFrontend, opset: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes from ``waveform`` and ``lengths`` to ``features`` and ``frames``, and their constants.

    Args:
        frontend: one of :data:`MADE_OF_NODES`.
    """
    builder = NodeBuilder(FRONTEND_PREFIX, opset)
    _MAKERS[type(frontend)](builder, frontend)
    return builder.nodes, list(builder.tensors.values())


def _nemo(b: NodeBuilder, settings: NemoFrontend) -> None:
    window, hop = settings.window, settings.hop
    given, own = _lengths(b)
    samples = spectrum.as_double(b, "samples", "waveform")
    before = b.add("pushed", "Pad", samples, b.constant("one_before", [0, 1, 0, 0]))
    before = b.slice("before", before, 0, -1, 1)
    share = b.add("share", "Mul", before, b.double("emphasis", nemo_frontend.PREEMPHASIS))
    emphasised = b.add("emphasised", "Sub", samples, share)
    inside = b.add("inside_clip", "Less", _positions(b, given), _column(b, "own_column", own))
    zero = b.double("zero_double", 0.0)
    audible = b.add("audible", "Where", inside, emphasised, zero)
    whole = b.add("whole_hops", "Div", given, b.constant("hop", [hop]))
    count = b.add("count", "Max", whole, b.constant("fewest", [2]))
    half = window // 2
    padded = b.add("padded", "Pad", audible, b.constant("pads", [0, half, 0, window + 2 * hop]))
    end = spectrum.end_of_frames(b, count, window, hop)
    none, one = b.constant("none", [0]), b.constant("one", [1])
    cut = b.add("cut", "Slice", padded, none, end, one)
    slices = spectrum.frames_of(b, cut, count, window, hop)
    filters = spectrum.slaney_filters(
        b, settings.mel_bands, settings.fft_size, settings.sample_rate
    )
    taper = spectrum.hann(b, window, window - 1)
    power = spectrum.power_spectrum(b, slices, taper, window, settings.fft_size)
    bands = b.add("band_power", "MatMul", power, filters)
    lifted = b.add("lifted", "Add", bands, b.double("guard", nemo_frontend.LOG_GUARD))
    mel = b.add("mel", "Log", lifted)
    hops = b.add("own_hops", "Div", own, b.constant("hop", [hop]))
    _normalized_bands(b, mel, _frames(b, own, hops, window), lost=1)


def _normalized_bands(b: NodeBuilder, mel: str, frames: str, lost: int) -> None:
    """Each band of a clip less its mean, divided by its standard deviation.

    Args:
        lost: by how much the number that squares are divided by is less than that of frames.
    """
    zero, one = b.double("zero_double", 0.0), b.constant("one", [1])
    inside = _inside_frames(b, frames)
    number = spectrum.as_double(b, "number", b.add("some", "Max", frames, one))
    number = b.add("number_cube", "Unsqueeze", number, b.constant("one_two", [1, 2]))
    valid = b.add("valid", "Where", inside, mel, zero)
    mean = b.add("mean", "Div", b.reduce("sum", "ReduceSum", valid, [1]), number)
    centred = b.add("centred", "Where", inside, b.add("deviation", "Sub", mel, mean), zero)
    squares = b.reduce("squares", "ReduceSum", b.add("squared", "Mul", centred, centred), [1])
    fewer = b.add("degrees", "Sub", number, b.double("lost_degrees", float(lost)))
    fewer = b.add("some_degrees", "Max", fewer, b.double("one_double", 1.0))
    spread = b.add("spread", "Sqrt", b.add("variance", "Div", squares, fewer))
    least = b.double("least_deviation", nemo_frontend.LEAST_DEVIATION)
    _features(b, b.add("scaled", "Div", centred, b.add("scale", "Add", spread, least)))


def _kaldi(b: NodeBuilder, settings: KaldiFrontend) -> None:
    window, hop = settings.window, settings.hop
    slices, frames = _kaldi_frames(b, window, hop, settings.ahead)
    slices = b.add("scaled_samples", "Mul", slices, b.double("sample_scale", settings.scale))
    total = b.reduce("frame_sum", "ReduceSum", slices, [2])
    offset = b.add("offset", "Div", total, b.double("window_double", float(window)))
    slices = _emphasised(b, b.add("without_offset", "Sub", slices, offset))
    power_of = b.double("povey_power", kaldi_frontend.POVEY)
    taper = b.add("povey", "Pow", spectrum.hann(b, window, window - 1), power_of)
    limits = settings.low_hz, settings.high_hz
    _kaldi_features(b, settings, slices, taper, limits, frames)


def _hann_kaldi(b: NodeBuilder, settings: HannKaldiFrontend) -> None:
    window, hop = settings.window, settings.hop
    slices, frames = _kaldi_frames(b, window, hop, settings.ahead)
    taper = spectrum.hann(b, window, window)
    limits = 0.0, settings.sample_rate / 2
    _kaldi_features(b, settings, _emphasised(b, slices), taper, limits, frames)


def _sherpa_nemo(b: NodeBuilder, settings: SherpaNemoFrontend) -> None:
    window, hop = settings.window, settings.hop
    slices, frames = _kaldi_frames(b, window, hop, settings.ahead)
    taper = spectrum.hann(b, window, window - settings.povey)
    if settings.povey:
        taper = b.add("povey", "Pow", taper, b.double("povey_power", kaldi_frontend.POVEY))
    emphasised = _emphasised(b, slices)
    power = spectrum.power_spectrum(b, emphasised, taper, window, settings.fft_size)
    filters = spectrum.slaney_filters(
        b, settings.mel_bands, settings.fft_size, settings.sample_rate, settings.high_hz
    )
    bands = b.add("band_power", "MatMul", power, filters)
    lifted = b.add("lifted", "Add", bands, b.double("guard", nemo_frontend.LOG_GUARD))
    _normalized_bands(b, b.add("mel", "Log", lifted), frames, lost=0)


def _kaldi_frames(b: NodeBuilder, window: int, hop: int, ahead: int) -> tuple[str, str]:
    """(batch, frames, window) of clips that are mirrored at their ends, and how many each has."""
    given, own = _lengths(b)
    half_hop = b.constant("half_hop", [hop // 2])

    def rounded(name: str, length: str) -> str:
        moved = b.add(f"{name}_moved", "Add", length, half_hop)
        return b.add(name, "Div", moved, b.constant("hop", [hop]))

    count = b.add("count", "Max", rounded("hops", given), b.constant("fewest", [2]))
    covered = spectrum.end_of_frames(b, count, window, hop)
    place = b.add("place", "Sub", _positions(b, covered), b.constant("ahead", ahead))
    mirrored = b.add("mirrored", "Sub", b.add("minus", "Neg", place), b.constant("step", 1))
    early = b.add("is_early", "Less", place, b.constant("zero", 0))
    place = b.add("from_begin", "Where", early, mirrored, place)
    length = _column(b, "own_column", own)
    twice = b.add("twice", "Mul", length, b.constant("two_whole", 2))
    back = b.add("back", "Sub", b.add("twice_less", "Sub", twice, b.constant("step", 1)), place)
    place = b.add("from_end", "Where", b.add("is_inside", "Less", place, length), place, back)
    slices = spectrum.frames_of(b, _gathered(b, place, given), count, window, hop)
    return slices, _frames(b, own, rounded("own_hops", own), window)


def _emphasised(b: NodeBuilder, slices: str) -> str:
    """Each sample of a frame less a share of the one before; the first one less one of itself."""
    first, rest = b.slice("first", slices, 0, 1, 2), b.slice("all_but_last", slices, 0, -1, 2)
    before = b.add("before", "Concat", first, rest, axis=2)
    share = b.add("share", "Mul", before, b.double("emphasis", kaldi_frontend.PREEMPHASIS))
    return b.add("emphasised", "Sub", slices, share)


def _kaldi_features(
    b: NodeBuilder,
    settings: KaldiFrontend | HannKaldiFrontend,
    slices: str,
    taper: str,
    limits: tuple[float, float],
    frames: str,
) -> None:
    """``limits``: of the filters, in hertz."""
    power = spectrum.power_spectrum(b, slices, taper, settings.window, settings.fft_size)
    filters = spectrum.htk_filters(
        b, settings.mel_bands, settings.fft_size, settings.sample_rate, *limits
    )
    bands = b.add("band_power", "MatMul", power, filters)
    silence = b.double("silence", kaldi_frontend.SILENCE)
    mel = b.add("mel", "Log", b.add("heard", "Max", bands, silence))
    inside = _inside_frames(b, frames)
    _features(b, b.add("scaled", "Where", inside, mel, b.double("zero_double", 0.0)))


def _gigaam(b: NodeBuilder, settings: GigaamFrontend) -> None:
    window, hop = settings.window, settings.hop
    given, own = _lengths(b)
    less = b.constant("window_less", [0 if settings.centred else window])
    one, hops = b.constant("one", [1]), b.constant("hop", [hop])

    def frames_in(name: str, length: str) -> str:
        whole = b.add(f"{name}_hops", "Div", b.add(f"{name}_less", "Sub", length, less), hops)
        return b.add(name, "Add", whole, one)

    count = b.add("count", "Max", frames_in("all_frames", given), b.constant("fewest", [2]))
    covered = spectrum.end_of_frames(b, count, window, hop)
    ahead = window // 2 if settings.centred else 0
    place = b.add("place", "Sub", _positions(b, covered), b.constant("ahead", ahead))
    place = b.add("mirrored", "Abs", place)
    length = _column(b, "own_column", own)
    twice = b.add("twice", "Mul", length, b.constant("two_whole", 2))
    back = b.add("back", "Sub", b.add("twice_less", "Sub", twice, b.constant("two", [2])), place)
    place = b.add("from_end", "Where", b.add("is_inside", "Less", place, length), place, back)
    slices = spectrum.frames_of(b, _gathered(b, place, given), count, window, hop)
    # Rounded to bfloat16 in the third version, which no chain of nodes does alike everywhere.
    taper, filters = (
        spectrum.as_double(b, f"{name}_double", b.constant(name, table, np.float32))
        for name, table in zip(("taper", "filters"), settings.tables, strict=True)
    )
    power = spectrum.power_spectrum(b, slices, taper, window, window)
    bands = b.add("band_power", "MatMul", power, filters)
    least = b.double("least", gigaam_frontend.LEAST_POWER)
    heard = b.add("heard", "Max", bands, least)
    mel = b.add(
        "mel", "Log", b.add("kept", "Min", heard, b.double("most", gigaam_frontend.MOST_POWER))
    )
    frames = _frames(b, own, frames_in("own_frames", own), window)
    inside = _inside_frames(b, frames)
    _features(b, b.add("scaled", "Where", inside, mel, b.double("zero_double", 0.0)))


def _whisper(b: NodeBuilder, settings: WhisperFrontend) -> None:
    window, hop = settings.window, settings.hop
    given, own = _lengths(b)
    almost, full = b.constant("almost_hop", [hop - 1]), b.constant("full", [settings.window_frames])

    def frames_of(name: str, length: str) -> str:
        hops = b.add(f"{name}_up", "Add", length, almost)
        hops = b.add(f"{name}_hops", "Div", hops, b.constant("hop", [hop]))
        return b.add(name, "Max", hops, full)

    count = frames_of("count", given)
    covered = spectrum.end_of_frames(b, count, window, hop)
    place = b.add("place", "Sub", _positions(b, covered), b.constant("ahead", window // 2))
    place = b.add("mirrored", "Abs", place)
    length = _column(b, "own_column", own)
    inside = b.add("inside_clip", "Less", place, length)
    # Of the clips of a batch, each has its own end.
    each = b.add("each", "Add", place, b.add("nothing", "Sub", length, length))
    samples = _gathered(b, each, given)
    samples = b.add("audible", "Where", inside, samples, b.double("zero_double", 0.0))
    slices = spectrum.frames_of(b, samples, count, window, hop)
    taper = spectrum.hann(b, window, window)
    power = spectrum.power_spectrum(b, slices, taper, window, window)
    filters = spectrum.slaney_filters(b, settings.mel_bands, window, settings.sample_rate)
    bands = b.add("band_power", "MatMul", power, filters)
    heard = b.add("heard", "Max", bands, b.double("silence", whisper_frontend.SILENCE))
    mel = b.add("mel", "Div", b.add("log", "Log", heard), b.double("log_ten", math.log(10.0)))
    loudest = b.reduce("loudest", "ReduceMax", mel, [1, 2])
    floor = b.add("floor", "Sub", loudest, b.double("decades", whisper_frontend.DECADES))
    four = b.double("four", 4.0)
    lifted = b.add("lifted", "Add", b.add("loud", "Max", mel, floor), four)
    frames_of("frames", own)
    _features(b, b.add("scaled", "Div", lifted, four))


def _lengths(b: NodeBuilder) -> tuple[str, str]:
    """(1,) samples of the batch, and (batch,) those of each clip."""
    given = b.add("given", "Shape", "waveform", start=1, end=2)
    return given, b.add("own", "Min", "lengths", given)


def _positions(b: NodeBuilder, count: str) -> str:
    """0, 1, …: one for each sample."""
    number = b.add("sample_count", "Squeeze", count)
    return b.add("positions", "Range", b.constant("zero", 0), number, b.constant("step", 1))


def _column(b: NodeBuilder, name: str, value: str) -> str:
    return b.add(name, "Unsqueeze", value, b.constant("one", [1]))


def _gathered(b: NodeBuilder, place: str, given: str) -> str:
    """(batch, samples) in double: the waveform's samples at ``place``, as far as there are any."""
    last = b.add("last_sample", "Sub", given, b.constant("one", [1]))
    within = b.add("not_beyond", "Min", place, last)
    within = b.add("within", "Max", within, b.constant("zero", 0))
    samples = b.add("placed", "GatherElements", "waveform", within, axis=1)
    return spectrum.as_double(b, "samples", samples)


def _frames(b: NodeBuilder, own: str, frames: str, window: int) -> str:
    """(batch,): ``frames``, or none of a clip that is shorter than a window."""
    short = b.add("is_short", "Less", own, b.constant("window", [window]))
    return b.add("frames", "Where", short, b.constant("none", [0]), frames)


def _inside_frames(b: NodeBuilder, frames: str) -> str:
    """(batch, frames, 1): whether a frame is the clip's own."""
    flat = b.add("inside_flat", "Less", f"{b.prefix}index", _column(b, "frames_column", frames))
    return b.add("inside", "Unsqueeze", flat, b.constant("two", [2]))


def _features(b: NodeBuilder, value: str) -> None:
    b.add("features", "Cast", value, output="features", to=TensorProto.FLOAT)


_MAKERS: dict[type[Any], Callable[[NodeBuilder, Any], None]] = {
    NemoFrontend: _nemo,
    KaldiFrontend: _kaldi,
    HannKaldiFrontend: _hann_kaldi,
    SherpaNemoFrontend: _sherpa_nemo,
    GigaamFrontend: _gigaam,
    WhisperFrontend: _whisper,
}
#: Front ends that :func:`feature_nodes` can make.
MADE_OF_NODES = tuple(_MAKERS)
