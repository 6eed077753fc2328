"""Nemotron streaming → an artifact of an encoder that hears in chunks, a predictor and a joiner."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from quantkit.arrays import FloatArray
from quantkit.disk.files import refuse_overwriting
from quantkit.errors import CheckpointError, InputError, ParityError
from quantkit.exporting.parity import ParityCase, ParityReport
from quantkit.exporting.saving import float_plan, folder_beside, save_artifact
from quantkit.exporting.tracing import OPSET, require_known_opset
from quantkit.exporting.transducer import traced_part, with_decoder
from quantkit.exporting.transducer_parity import TransducerReference, written_case
from quantkit.graph.artifact import EXTERNAL_DATA_THRESHOLD, read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.roles import BATCH, ENCODER, GraphRole, State, beside
from quantkit.models.layers.streaming_conformer import Sizes, StreamingFastConformer
from quantkit.models.pretrained_files import files_of, name_of, optional_json_object
from quantkit.models.transducers import TransducerCheckpoint, load_transducer
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.streaming.settings import STREAMING, StreamingSettings
from quantkit.runtime.streaming.transducer import StreamingTransducerNetwork
from quantkit.runtime.transducer.network import JOINER, PREDICTOR
from quantkit.runtime.transducer.settings import TRANSDUCER
from quantkit.tasks.names import STREAMING_TRANSDUCER
from quantkit.text.labels import Labels
from quantkit.version import __version__

# Deeper than a Wav2Letter, with normalisations that bring up rounding.
_TOLERANCE = 1e-3
# Streams of the traced example, and chunks of each.
_BATCH, _CHUNKS = 3, 2
# Chunks that are compared one by one; frames of the clips that are written down; chunks of a clip.
_HEARD, _WRITTEN = 4, (40, 161)
# Steps that models look ahead where their processor does not say it.
_LOOK_AHEADS = (13, 6, 1, 0)
_PROCESSOR = "processor_config.json"


def export_streaming_transducer(
    folder: Path,
    destination: Path,
    *,
    seconds: float | None = None,
    opset: int = OPSET,
    name: str = "",
    adapter: Path | None = None,
    external_threshold: int = EXTERNAL_DATA_THRESHOLD,
) -> ParityReport:
    """Write the transducer in ``folder`` and prove that it gives the numbers of ``transformers``,
    both of its stream chunk by chunk, and of whole clips.

    The encoder is written to ``destination``, predictor and joiner beside it. All appear only after
    the parity check has passed.

    Args:
        seconds: of a chunk; None: what the model looks ahead by default.
        opset: ONNX operator set, 18 to 23.
        name: what the metadata says; by default the folder's.
        adapter: folder of a LoRA adapter that is merged into the model.
        external_threshold: bytes of weights beyond which they go to a file of their own.

    Raises:
        CheckpointError: files are missing or damaged, or a part is not supported.
        ParityError: a graph differs from ``transformers``; nothing is written.
        InputError: a chunk that the model was not trained with, an opset out of range, or a
            destination that is a file of the model.
        OutputError: ``destination`` cannot be written.
    """
    require_known_opset(opset)
    for target in (destination, *(beside(destination, role) for role in (PREDICTOR, JOINER))):
        refuse_overwriting(target, files_of(folder))
    source = load_transducer(folder, adapter)
    steps = _steps_in(seconds, source, folder)
    with folder_beside(destination) as scratch:
        whole, sizes = build_streaming_transducer(source.model, steps, opset, scratch)
        malloc_trim()
        settings = StreamingSettings(
            chunk=sizes.frames,
            shift=sizes.frames,
            stride=sizes.factor,
            ends=True,
            lead=sizes.lead,
        )
        info = ArtifactInfo(
            labels=source.labels,
            frontend=source.frontend,
            task=STREAMING_TRANSDUCER,
            plan=float_plan(whole, source.sha256),
            model_sha256=source.sha256,
            version=__version__,
            name=name or name_of(folder),
            licence=source.licence,
            extra={TRANSDUCER: source.settings.to_json(), STREAMING: settings.to_json()},
        )
        reference = StreamingReference(source.model, source.frontend.mel_bands, sizes)
        check = partial(check_streaming_transducer, reference, source.labels)
        return save_artifact(whole, info, destination, check, external_threshold=external_threshold)


def _steps_in(seconds: float | None, source: TransducerCheckpoint, folder: Path) -> int:
    """Of a chunk: what is looked ahead, and the step itself.

    Raises:
        CheckpointError: the configuration of the encoder has a part that is not supported.
        InputError: the model was not trained with such chunks.
    """
    config = source.model.config.encoder_config
    if config.subsampling_conv_kernel_size != 3 or config.subsampling_conv_stride != 2:
        raise CheckpointError(
            f"{folder}: only subsampling by convolutions of three taps that go on by two is "
            "supported"
        )
    listed = optional_json_object(folder / _PROCESSOR).get("supported_num_lookahead_tokens")
    if not isinstance(listed, list) or not all(type(each) is int for each in listed):
        listed = [*_LOOK_AHEADS]
    step = source.frontend.seconds_of(int(config.subsampling_factor))
    default = int(config.default_num_lookahead_tokens) + 1
    steps = default if seconds is None else round(seconds / step)
    known = sorted({default, *(each + 1 for each in listed)})
    exact = seconds is None or abs(seconds / step - steps) < 1e-6
    if not exact or steps not in known or not 1 <= steps < int(config.sliding_window):
        words = ", ".join(f"{1000 * step * each:g}" for each in known)
        raise InputError(
            f"{folder} was trained with chunks of {words} ms, and not of "
            f"{1000 * step * steps if seconds is None else 1000 * seconds:g} ms: give --chunk"
        )
    return steps


def build_streaming_transducer(
    model: Any, steps: int, opset: int, scratch: Path
) -> tuple[onnx.ModelProto, Sizes]:
    """The whole float32 graph, without metadata but the list of its parts; and its sizes.

    Args:
        steps: of a chunk.
        scratch: a folder for the weights, which must stay while the graph is used.
    """
    module = StreamingFastConformer(model, steps)
    sizes = module.sizes
    counted, cached = ("frames", "heard"), sizes.states
    names = (*counted, *cached)
    outputs = ("encoded", "encoded_lengths", *(f"next.{each}" for each in names))
    batch, chunks = torch.export.Dim("batch"), torch.export.Dim("chunks", min=1)
    frames = sizes.frames * _CHUNKS
    example: tuple[torch.Tensor | list[torch.Tensor], ...] = (
        torch.zeros(_BATCH, frames, sizes.bands[0]),
        # Each of its own: inputs that are one tensor would be traced as one.
        *(torch.full((_BATCH,), frames) for _ in range(3)),
        [torch.zeros(_BATCH, *shape) for shape in cached.values()],
    )
    encoder = traced_part(
        module,
        example,
        {
            "features": {0: "batch", 1: "frames"},
            "lengths": {0: "batch"},
            **{f"state.{each}": {0: "batch"} for each in names},
        },
        {"encoded": {0: "batch", 1: "steps"}, **{each: {0: "batch"} for each in outputs[1:]}},
        (
            {0: batch, 1: sizes.frames * chunks},
            *({0: batch} for _ in range(3)),
            [{0: batch} for _ in cached],
        ),
        opset,
        scratch / ENCODER,
    )
    states = (
        State("state.frames", "next.frames", (BATCH,), "int64"),
        State("state.heard", "next.heard", (BATCH,), "int64", -sizes.lead),
        *(State(f"state.{n}", f"next.{n}", (BATCH, *shape)) for n, shape in cached.items()),
    )
    role = GraphRole(ENCODER, outputs, states=states)
    return with_decoder(encoder, role, model, opset, scratch), sizes


class StreamingReference(TransducerReference):
    """A ``NemotronAsrStreamingForRNNT``, used unchanged.

    Args:
        sizes: of the chunks.
    """

    def __init__(self, model: Any, bands: int, sizes: Sizes) -> None:
        super().__init__(model, bands)
        # transformers 5.24 hides the wrong keys with its "eager" attention, whose masks are numbers
        # where this model takes them for truth values.
        model.set_attn_implementation("sdpa")
        self.sizes = sizes
        self.asked = {"num_lookahead_tokens": sizes.steps - 1}

    def in_chunks(self, clip: FloatArray) -> list[FloatArray]:
        """(steps, width) of each whole chunk of a clip, by the caches of ``transformers``."""
        begin, found = 0, []
        cached: dict[str, Any] = {"cache": None, "padding_cache": None}
        while begin + self.sizes.frames - (0 if begin else self.sizes.lead) <= len(clip):
            end = begin + self.sizes.frames - (0 if begin else self.sizes.lead)
            with torch.no_grad():
                made = self.model.get_audio_features(
                    torch.from_numpy(clip[begin:end])[None],
                    use_cache=True,
                    output_attention_mask=False,
                    **self.asked,
                    **cached,
                )
            cached = {"cache": made.cache, "padding_cache": made.padding_cache}
            found.append(made.pooler_output[0].numpy())
            begin = end
        return found


def check_streaming_transducer(
    reference: StreamingReference, labels: Labels, path: Path
) -> ParityReport:
    """Compare the encoder with a stream and with whole clips, and the others along greedy paths.

    Raises:
        ParityError: a difference beyond the tolerance.
        ModelError: ``path`` does not load.
    """
    network = StreamingTransducerNetwork.of(path, read_info(path), threads=0)
    generator, sizes = np.random.default_rng(0), reference.sizes
    # Beyond what attention sees of the chunks before.
    longest = max(_HEARD, sizes.before // sizes.steps + 2) * sizes.frames - sizes.lead
    lengths = (*reference.lengths, sizes.frames, sizes.frames + 1, longest)
    clips = reference.clips(lengths, generator)
    cases = [
        _case(network.encode([clip])[0], expected, len(clip), "whole")
        for clip, expected in zip(clips, reference.outputs(clips), strict=True)
    ]
    streamed = np.concatenate(reference.in_chunks(clips[-1]))
    cases.append(_case(network.encode(clips[-1:])[0], streamed, longest, "chunk by chunk"))
    cases += [written_case(reference, network, labels, frames) for frames in _WRITTEN]
    report = ParityReport(_TOLERANCE, tuple(cases), "transformers")
    if not report.worst.difference <= _TOLERANCE:
        raise ParityError(
            f"{path.name} differs from transformers: {report.worst.where}, beyond the tolerance of "
            f"{_TOLERANCE:g}"
        )
    return report


def _case(found: FloatArray, expected: FloatArray, frames: int, how: str) -> ParityCase:
    where = f"a clip of {frames} frames, {how}"
    if found.shape != expected.shape:
        words = f"{where}: output shape {found.shape} instead of {expected.shape}"
        return ParityCase(1, frames, float("inf"), words)
    difference = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    # NaN compares as false with anything; it is no agreement.
    worst = float(difference.max()) if np.isfinite(difference).all() else float("inf")
    return ParityCase(1, frames, worst, f"{where}: off by {worst:.3g}")
