"""Run a model that others made by the names, shapes and scales of an artifact.

Free of the ``onnx`` package, as edge programs are. ``quantkit.exporting.wrapping`` writes the same
translation as ONNX nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantkit.arrays import Array, Booleans, FloatArray, IntArray
from quantkit.errors import ModelError
from quantkit.graph.interface import STEPS, Interface, Role
from quantkit.runtime.output_scale import log_probabilities
from quantkit.runtime.widened_session import Session, WidenedSession

#: What ``Wav2Vec2FeatureExtractor`` adds to a variance, so that silence stays silence.
LEAST_VARIANCE = 1e-7
#: What full scale is in samples that are integers.
FULL_SCALE = 32_768


@dataclass(frozen=True)
class Value:
    """A name and a shape, as ONNX Runtime's own descriptions have them."""

    name: str
    shape: list[int | str]
    type: str = "tensor(float)"


class AdaptedSession:
    """A session of somebody else's model that answers like one of an artifact.

    Args:
        session: of the model as it is.
        interface: what it takes and gives.
    """

    def __init__(self, session: Session, interface: Interface) -> None:
        self.session, self.interface = WidenedSession(session), interface

    def get_inputs(self) -> list[Value]:
        """``waveform`` or ``features``, and ``lengths``."""
        interface = self.interface
        batch = interface.clips_at_once or "batch"
        if not interface.is_features:
            audio = Value("waveform", [batch, "samples"])
        else:
            shapes = {value.name: value.shape for value in self.session.get_inputs()}
            shape = shapes[interface.audio.name]
            bands = shape[interface.audio.axes.index("bands")] if shape else "bands"
            audio = Value("features", [batch, "frames", bands])
        return [audio, Value("lengths", [batch], "tensor(int64)")]

    def get_outputs(self) -> list[Value]:
        """``log_probs`` and, of a model with frames, ``output_lengths``."""
        batch = self.interface.clips_at_once or "batch"
        if not self.interface.per_frame:
            return [Value("log_probs", [batch, "labels"])]
        log_probs = Value("log_probs", [batch, "output_frames", "labels"])
        return [log_probs, Value("output_lengths", [batch], "tensor(int64)")]

    def get_modelmeta(self) -> Any:
        """Of the model."""
        return self.session.get_modelmeta()

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        """Outputs of an artifact for its inputs.

        Args:
            names: of outputs; None for all.
        """
        interface = self.interface
        audio = feed["features" if interface.is_features else "waveform"]
        lengths = np.asarray(feed["lengths"], np.int64)
        wanted = [interface.output.name, *([interface.frames.name] if interface.frames else [])]
        made = self.session.run(wanted, feeds_of(interface, audio, lengths))
        found = dict(zip(wanted, made, strict=True))
        log_probs = log_probabilities(
            posteriors_of(interface, found[interface.output.name], len(audio)), interface.scale
        ).astype(np.float32)
        results: dict[str, Array] = {"log_probs": log_probs}
        if interface.per_frame:
            results["output_lengths"] = frames_of(interface, found, log_probs, lengths)
        return [results[name] for name in names or results]


def feeds_of(interface: Interface, audio: FloatArray, lengths: IntArray) -> dict[str, Array]:
    """The model's own inputs.

    Args:
        audio: (batch, samples) or (batch, frames, bands).
        lengths: (batch,), of the clips in it.
    """
    valid = np.minimum(lengths, audio.shape[1])
    inside: Booleans = np.arange(audio.shape[1]) < valid[:, None]
    if interface.normalize:
        audio = normalized(audio, inside)
    if interface.steps:
        audio = _of_length(audio, interface.steps)
        valid = np.minimum(valid, interface.steps)
        inside = np.arange(interface.steps) < valid[:, None]
    if interface.batch:
        # Further clips than there are repeat the last one.
        rows = np.minimum(np.arange(interface.batch), len(audio) - 1)
        audio, valid, inside = audio[rows], valid[rows], inside[rows]
    feeds = {interface.audio.name: _arranged(audio, interface)}
    if interface.lengths is not None:
        port = interface.lengths
        values: Array = valid / max(1, audio.shape[1]) if interface.relative else valid
        if "channel" in port.axes:
            values = values[:, None]
        # What has no axes is an array all the same.
        feeds[port.name] = np.asarray(values if port.axes else values[0], port.type)
    if interface.mask is not None:
        marked = ~inside if interface.inverted else inside
        feeds[interface.mask.name] = marked.astype(interface.mask.type)
    if interface.rate is not None:
        sizes = [len(audio) if role == "batch" else 1 for role in interface.rate.axes]
        feeds[interface.rate.name] = np.full(sizes, interface.sample_rate, interface.rate.type)
    return feeds


def posteriors_of(interface: Interface, output: Array, clips: int = 1) -> Array:
    """The model's output as (batch, frames, labels) or (batch, classes), of ``clips`` clips."""
    axes = interface.output.axes
    single = tuple(i for i, role in enumerate(axes) if role == "channel")
    output = np.squeeze(output, single)
    kept = [role for role in axes if role != "channel"]
    if "batch" not in kept:
        output, kept = output[None], ["batch", *kept]
    roles: tuple[Role, ...] = ("batch", "frames", "labels")
    order = [kept.index(role) for role in roles if role in kept]
    return output.transpose(order)[:clips]


def frames_of(
    interface: Interface, made: Mapping[str, Array], log_probs: FloatArray, lengths: IntArray
) -> IntArray:
    """(batch,) output frames of each clip.

    Args:
        made: the model's own outputs, by name.
    """
    if interface.frames is not None:
        found = np.atleast_1d(made[interface.frames.name])[: len(log_probs)]
        counts = found.astype(np.int64)
    elif interface.stride:
        counts = np.array([interface.frames_of(int(length)) for length in lengths], np.int64)
    else:
        counts = np.full(len(log_probs), log_probs.shape[1], np.int64)
    return np.minimum(counts, log_probs.shape[1])


def normalized(audio: FloatArray, inside: Booleans) -> FloatArray:
    """Each clip with mean 0 and variance 1 over its own samples, as ``Wav2Vec2FeatureExtractor``.

    Args:
        audio, inside: (batch, samples); what is not ``inside`` becomes zero.
    """
    count = np.maximum(inside.sum(1, keepdims=True), 1)
    centred = audio - np.where(inside, audio, 0).sum(1, keepdims=True) / count
    variance = np.where(inside, centred**2, 0).sum(1, keepdims=True) / count
    scaled = centred / np.sqrt(variance + LEAST_VARIANCE)
    return np.asarray(np.where(inside, scaled, 0), np.float32)


def _of_length(audio: FloatArray, steps: int) -> FloatArray:
    """Cut, or followed by zeros."""
    pads = [(0, 0), (0, max(0, steps - audio.shape[1])), *[(0, 0)] * (audio.ndim - 2)]
    return np.pad(audio, pads)[:, :steps]


def _arranged(audio: FloatArray, interface: Interface) -> Array:
    """With the model's own axes and type."""
    axes, kind = interface.audio.axes, np.dtype(interface.audio.type)
    if "batch" not in axes:
        if len(audio) != 1:
            raise ModelError(f"the model takes one clip at a time, not {len(audio)}")
        audio = audio[0]
    roles: tuple[Role, ...] = ("batch", *STEPS, "bands")
    present = [role for role in roles if role in axes]
    audio = audio.transpose([present.index(role) for role in axes if role in present])
    for position, role in enumerate(axes):
        if role == "channel":
            audio = np.expand_dims(audio, position)
    if kind.kind in "iu":
        full = np.iinfo(np.int16)
        audio = np.clip(np.round(audio * FULL_SCALE), full.min, full.max)
    return np.ascontiguousarray(audio.astype(kind))
