"""Moonshine's first layout, as sherpa-onnx opens it: four graphs and ``tokens.txt``.

``preprocess.onnx`` makes features (clips, steps, width) of samples (clips, samples);
``encode.onnx`` takes them and their number of steps. ``uncached_decode.onnx`` takes tokens (clips,
count), the output of ``encode`` and how many tokens there are, and gives logits and states: keys
and values of tokens and of the encoder's output, (clips, steps, heads, size), for each layer.
``cached_decode.onnx`` takes and gives the same and the states. All inputs are told apart by their
places. sherpa-onnx publishes all but the first with ``.int8`` in their names (sherpa-onnx 2.0,
``offline-moonshine-model.cc``, ``scripts/moonshine/test.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

from quantkit.arrays import Array, FloatArray
from quantkit.disk.files import sha256_of
from quantkit.errors import ModelError
from quantkit.exporting.folders.encoder_decoder import compared
from quantkit.exporting.folders.found_graph import FoundGraph, converted_graphs, is_float
from quantkit.exporting.folders.layout import (
    FolderFiles,
    Layout,
    graphs_called,
    optional,
    suffixes_of,
)
from quantkit.exporting.folders.merged_moonshine import MoonshineFolder
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.graph.interface import Declared
from quantkit.graph.joined import join, set_short_form
from quantkit.graph.roles import CROSSING, DECODER, ENCODER, FIRST, PAST, PREPROCESS, PRESENT
from quantkit.graph.tied_transposes import tie_transposed_weights
from quantkit.graph.translation import PREFIX, TRANSLATIONS, Step, Translation, Translations
from quantkit.graph.two_decoders import HIDDEN, LENGTH, TOKENS, as_pair
from quantkit.runtime.encoder_decoder.two_decoders import TwoDecoderNetwork
from quantkit.runtime.session import create_session
from quantkit.runtime.speech_model import run_session
from quantkit.text.label_files.written_tokens import TOKENIZER, TOKENS_TXT
from quantkit.version import __version__

_STEMS = ("preprocess", "encode", "uncached_decode", "cached_decode")
_OWN_INPUTS = 3
# Their axes of states, (clips, tokens, heads, size), before ours.
_BY_HEAD = (0, 2, 1, 3)
_FEATURES, _HIDDEN = f"{PREFIX}features", f"{PREFIX}hidden"


class SherpaMoonshine(Layout):
    """Moonshine with a graph of its own for the first token."""

    name = "a Moonshine of sherpa-onnx in four graphs"

    def matches(self, folder: Path) -> bool:
        return any(suffixes_of(folder, stem) for stem in _STEMS[2:])

    def files(self, folder: Path) -> FolderFiles:
        # What makes features is left in float32, and without an addition to its name.
        decoders = graphs_called(folder, _STEMS[1:], self.name)
        suffix = decoders[0].name.removeprefix(_STEMS[1]).removesuffix(".onnx")
        same = folder / f"{_STEMS[0]}{suffix}.onnx"
        first = same if same.is_file() else graphs_called(folder, _STEMS[:1], self.name)[0]
        return FolderFiles((first, *decoders), optional(folder, TOKENS_TXT, TOKENIZER))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        files = self.files(folder)
        found = tuple(map(FoundGraph.of, files.graphs))
        for graph, inputs in zip(found, (1, 2, _OWN_INPUTS, _OWN_INPUTS), strict=True):
            _require_values(graph, inputs)
        sessions = [create_session(file, threads=0) for file in files.graphs]
        clips = tuple(MoonshineFolder().clips(found[0]))
        own, vocabulary = _own_states(sessions, found, clips[0][1])
        translations = Translations(_translations(found, own, vocabulary), two_decoders=True)
        original = TwoDecoderNetwork(sessions, translations)
        models, steps = converted_graphs(
            files.graphs, [each.inner("") for each in translations.graphs]
        )
        for model in models[2:]:
            steps += tie_transposed_weights(model.graph)
        parts = as_pair(models, translations)
        set_short_form(parts[0])
        whole = join(parts)
        del whole.graph.value_info[:]
        digest = sha256_of(files.main)
        info = MoonshineFolder().info(folder, found[0], vocabulary)
        info = replace(
            info,
            plan=float_plan(whole, digest) if is_float(whole) else None,
            model_sha256=digest,
            version=__version__,
            name=name,
            extra={**info.extra, TRANSLATIONS: translations.to_json()},
        )
        check = partial(compared, original, clips, vocabulary, on_a_grid=info.plan is None)
        report = save_artifact(whole, info, destination, check)
        return replace(report, notes=tuple(dict.fromkeys(steps)))


def _require_values(graph: FoundGraph, own: int) -> None:
    """Refuse a graph that does not take ``own`` values, and states where it has any.

    Raises:
        ModelError: it does not.
    """
    given, made = len(graph.inputs), len(graph.outputs)
    decodes = own == _OWN_INPUTS
    fits = given == own or (decodes and given == own + made - 1)
    if not fits or made < 1 or (decodes and (made < 5 or made % 4 != 1)):
        raise ModelError(
            f"{graph.file} takes {given} values and gives {made}, which is not what this graph of "
            "a Moonshine in four graphs does"
        )


def _own_states(
    sessions: Sequence[onnxruntime.InferenceSession],
    found: Sequence[FoundGraph],
    clip: FloatArray,
) -> tuple[list[int], int]:
    """Which states are of the text, by their places, and how many tokens there are.

    Raises:
        ModelError: a graph does not run, or makes something else.
    """

    def run(place: int, *values: Array) -> list[FloatArray]:
        graph = found[place]
        feed = {
            each.name: value.astype(each.type)
            for each, value in zip(graph.inputs, values, strict=True)
        }
        return run_session(sessions[place], [each.name for each in graph.outputs], feed)

    (features,) = run(0, clip)
    (hidden,) = run(1, features, np.array([features.shape[1]]))
    logits, *states = run(2, np.array([[1]]), hidden, np.array([1]))
    steps = hidden.shape[1]
    own = [place for place, each in enumerate(states) if each.shape[1:2] == (1,)]
    others = [each for each in states if each.shape[1:2] == (steps,)]
    shapes = {(each.ndim, *each.shape[2:]) for each in states}
    if logits.ndim != 3 or len(own) != len(others) or len(shapes) != 1 or steps < 2:
        raise ModelError(
            f"{found[2].file} gives {', '.join(str(each.shape) for each in states[:4])} …, which "
            "are no keys and values of one token and of the clip, (clips, tokens, heads, size)"
        )
    return own, int(logits.shape[2])


def _translations(
    found: Sequence[FoundGraph], own: Sequence[int], vocabulary: int
) -> tuple[Translation, ...]:
    heard, encoded, first, later = found
    width = later.inputs[_OWN_INPUTS + own[0]].sizes or ()
    if len(width) != 4 or not all(isinstance(size, int) for size in width[2:]):
        raise ModelError(f"{later.file} does not say how many heads its states have")
    others = [place for place in range(len(later.outputs) - 1) if place not in own]
    crossing = tuple(
        Declared.of(f"{CROSSING}{key}", "float32", "batch", "steps", *width[2:])
        for key in _keys(own)
    )
    features = Declared.of(_FEATURES, "float32", "clips", "steps", "width")
    hidden = Declared.of(_HIDDEN, "float32", "clips", "steps", "width")
    length, temporary = f"{PREFIX}{ENCODER}.steps", encoded.inputs[1]
    return (
        _translation(
            heard,
            PREPROCESS,
            (Declared.of("waveform", "float32", "clips", "samples"),),
            (features,),
            (Step("identity", ("waveform",), (f"{PREPROCESS}.{heard.inputs[0].name}",)),),
            (Step("identity", (f"{PREPROCESS}.{heard.outputs[0].name}",), (_FEATURES,)),),
        ),
        _translation(
            encoded,
            ENCODER,
            (features,),
            (hidden,),
            (
                Step("identity", (_FEATURES,), (f"{ENCODER}.{encoded.inputs[0].name}",)),
                Step("size", (_FEATURES,), (length,), (1,)),
                Step("cast", (length,), (f"{ENCODER}.{temporary.name}",), type=temporary.type),
            ),
            (Step("identity", (f"{ENCODER}.{encoded.outputs[0].name}",), (_HIDDEN,)),),
        ),
        _translation(
            first,
            FIRST,
            (hidden,),
            crossing,
            (Step("identity", (_HIDDEN,), (f"{FIRST}.{first.inputs[HIDDEN].name}",)),),
            tuple(
                Step("identity", (f"{FIRST}.{first.outputs[1 + place].name}",), (value.name,))
                for place, value in zip(others, crossing, strict=True)
            ),
        ),
        _later(later, own, others, crossing, vocabulary),
    )


def _later(
    graph: FoundGraph,
    own: Sequence[int],
    others: Sequence[int],
    crossing: tuple[Declared, ...],
    vocabulary: int,
) -> Translation:
    inner, temporary = f"{DECODER}.", f"{PREFIX}{DECODER}."
    tokens, length = graph.inputs[TOKENS], graph.inputs[LENGTH]
    states, made = graph.inputs[_OWN_INPUTS:], graph.outputs[1:]
    *_, heads, size = states[own[0]].sizes or ()
    keys = _keys(own)

    def of(prefix: str, axis: str) -> tuple[Declared, ...]:
        return tuple(
            Declared.of(f"{prefix}{key}", "float32", "batch", heads, axis, size) for key in keys
        )

    before, count, end, chosen = (
        f"{temporary}{name}" for name in ("before", "count", "end", "chosen")
    )
    return _translation(
        graph,
        DECODER,
        (
            Declared.of("tokens", "int64", "batch", "count"),
            Declared.of("positions", "int64", "wanted"),
            *of(PAST, "past"),
            *crossing,
        ),
        (
            Declared.of("log_probs", "float32", "batch", "wanted", vocabulary),
            *of(PRESENT, "present"),
        ),
        (
            Step("cast", ("tokens",), (inner + tokens.name,), type=tokens.type),
            Step("size", (f"{PAST}{keys[0]}",), (before,), (2,)),
            Step("size", ("tokens",), (count,), (1,)),
            Step("sum", (before, count), (end,)),
            Step("cast", (end,), (inner + length.name,), type=length.type),
            *(
                Step("transpose", (f"{PAST}{key}",), (inner + states[place].name,), _BY_HEAD)
                for key, place in zip(keys, own, strict=True)
            ),
            *(
                Step("identity", (value.name,), (inner + states[place].name,))
                for value, place in zip(crossing, others, strict=True)
            ),
        ),
        (
            *(
                Step("transpose", (inner + made[place].name,), (f"{PRESENT}{key}",), _BY_HEAD)
                for key, place in zip(keys, own, strict=True)
            ),
            Step("take", (inner + graph.outputs[0].name, "positions"), (chosen,), (1,)),
            Step("log_softmax", (chosen,), ("log_probs",)),
        ),
    )


def _keys(own: Sequence[int]) -> list[str]:
    """``0.key``, ``0.value``, ``1.key``, …: the states of the text come in pairs."""
    return [f"{number // 2}.{('key', 'value')[number % 2]}" for number in range(len(own))]


def _translation(
    graph: FoundGraph,
    role: str,
    takes: tuple[Declared, ...],
    gives: tuple[Declared, ...],
    before: tuple[Step, ...],
    behind: tuple[Step, ...],
) -> Translation:
    return Translation(
        role,
        graph.file.name,
        graph.inputs,
        graph.outputs,
        takes,
        gives,
        before,
        behind,
        dict(graph.metadata),
    )
