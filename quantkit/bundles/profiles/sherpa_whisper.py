"""Whisper for sherpa-onnx: all layers in one value, and caches of 448 tokens.

The form is that of :mod:`quantkit.exporting.folders.sherpa_whisper`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import onnx

from quantkit.bundles.profiles.base import Form, Source, Written
from quantkit.bundles.profiles.feature_ctc import sherpa_opening
from quantkit.bundles.profiles.graphs import opset_of, output_sizes, write_graph
from quantkit.bundles.profiles.label_files import write_whisper_base64
from quantkit.bundles.profiles.merged import vocabulary_of
from quantkit.bundles.profiles.merged_graphs import all_positions, heads_of, keys_of
from quantkit.exporting.folders.sherpa_whisper import CACHES, CROSS, HEARS
from quantkit.exporting.node_builder import NodeBuilder
from quantkit.graph.interface import Declared
from quantkit.graph.joined import split
from quantkit.graph.renaming import rename_values
from quantkit.graph.roles import CROSSING, DECODER, ENCODER, PAST, PRESENT
from quantkit.graph.translating import declare, set_kept
from quantkit.tasks.names import WHISPER
from quantkit.text.whisper_vocabulary import DECODER_POSITIONS, WhisperVocabulary

_PREFIX = "shipped."
_NAME = "model"
# Between layers first and clips first.
_BY_HEAD = [0, 2, 1, 3]


class SherpaWhisperForm(Form):
    """What ``from_whisper`` opens."""

    name = "whisper"
    tasks: ClassVar[frozenset[str]] = frozenset((WHISPER,))

    def why_not(self, source: Source) -> str:
        vocabulary_of(source)
        sizes = output_sizes(source.parts()[ENCODER], "features")
        if len(sizes) == 3 and isinstance(sizes[2], int) and sizes[2]:
            return "its encoder takes whole windows alone, and the program gives it shorter ones"
        return ""

    def write(self, source: Source, folder: Path) -> Written:
        vocabulary = vocabulary_of(source)
        encoder, decoder = _given_back(source) or _translated(source, vocabulary)
        bands = int(getattr(source.frontend, "mel_bands", 0))
        said = _metadata(source, vocabulary, bands)
        graphs = (
            write_graph(encoder, folder / f"{_NAME}-encoder.onnx", said),
            write_graph(decoder, folder / f"{_NAME}-decoder.onnx", {}),
        )
        tokens = f"{_NAME}-tokens.txt"
        write_whisper_base64(folder / tokens, vocabulary)
        files = dict(zip((ENCODER, DECODER), (graph.name for graph in graphs), strict=True))
        return Written(graphs, sherpa_opening("whisper", files, tokens=tokens))


def _given_back(source: Source) -> list[onnx.ModelProto] | None:
    """Both graphs as they were in a folder of this form; None where they came from another."""
    found = source.translations
    if found is None or [each.name for each in found.graphs[0].inputs] != [HEARS]:
        return None
    whole = onnx.ModelProto()
    whole.CopyFrom(source.whole)
    set_kept(whole, kept=True)
    return split(whole)


def _translated(source: Source, vocabulary: WhisperVocabulary) -> list[onnx.ModelProto]:
    parts = source.parts()
    keys = keys_of(parts[DECODER])
    heads, size = heads_of(parts[DECODER])
    columns = isinstance(output_sizes(parts[DECODER], f"{CROSSING}{keys[0]}")[2], int) and bool(
        output_sizes(parts[DECODER], f"{CROSSING}{keys[0]}")[2]
    )
    _encoder(parts[ENCODER], keys, heads * size, columns)
    _decoder(parts[DECODER], keys, (heads, size), columns, vocabulary.size)
    return [parts[ENCODER], parts[DECODER]]


def _of_kind(keys: list[str], kind: str) -> list[str]:
    return [key for key in keys if key.endswith(f".{kind}")]


def _encoder(model: onnx.ModelProto, keys: list[str], width: int, columns: bool) -> None:
    """From ``mel`` to keys and values of all layers, (layers, clips, steps, width)."""
    graph, build = model.graph, NodeBuilder(f"{_PREFIX}{ENCODER}.", opset_of(model))
    bands = output_sizes(model, "features")[1]
    rename_values(graph, {graph.input[0].name: HEARS})
    merged = build.constant("merged", [0, 0, -1])
    first = build.constant("first", [0])
    for kind, whole in zip(("key", "value"), CROSS, strict=True):
        layers = []
        for key in _of_kind(keys, kind):
            turned = [0, 3, 1, 2] if kind == "key" and columns else _BY_HEAD
            rows = build.add(f"{key}.rows", "Transpose", f"{CROSSING}{key}", perm=turned)
            flat = build.add(f"{key}.flat", "Reshape", rows, merged)
            layers.append(build.add(f"{key}.layer", "Unsqueeze", flat, first))
        build.add(f"{kind}.all", "Concat", *layers, output=whole, axis=0)
    _append(graph, build)
    count = len(keys) // 2
    declare(
        graph,
        [Declared.of(HEARS, "float32", "n_audio", bands, "T")],
        [Declared.of(name, "float32", count, "n_audio", "steps", width) for name in CROSS],
    )
    del graph.value_info[:]


def _decoder(
    model: onnx.ModelProto,
    keys: list[str],
    sizes: tuple[int, int],
    columns: bool,
    outputs: int,
) -> None:
    """With caches that are as long whatever was said, of which ``offset`` tokens are the text."""
    graph, (heads, size) = model.graph, sizes
    width, count = heads * size, len(keys) // 2
    ahead = NodeBuilder(f"{_PREFIX}{DECODER}.before.", opset_of(model))
    behind = NodeBuilder(f"{_PREFIX}{DECODER}.behind.", opset_of(model))
    nothing, axis = ahead.constant("nothing", [0]), ahead.constant("axis", [2])
    by_head = ahead.constant("by_head", [0, 0, heads, size])
    merged, first = behind.constant("merged", [0, 0, width]), behind.constant("first", [0])
    begin, positions = behind.constant("begin", [0]), behind.constant("end", [DECODER_POSITIONS])
    time, one = behind.constant("time", [1]), behind.constant("one", [1])
    two = behind.constant("two", [2])
    for kind, cache, cross in zip(("key", "value"), CACHES, CROSS, strict=True):
        text = ahead.add(f"{cache}.text", "Slice", f"in_{cache}", nothing, "offset", axis)
        layers = []
        for number, key in enumerate(_of_kind(keys, kind)):
            index = ahead.constant(f"layer.{number}", number)
            for whole, name, turned in (
                (text, f"{PAST}{key}", _BY_HEAD),
                (
                    cross,
                    f"{CROSSING}{key}",
                    [0, 2, 3, 1] if kind == "key" and columns else _BY_HEAD,
                ),
            ):
                layer = ahead.add(f"{name}.layer", "Gather", whole, index, axis=0)
                rows = ahead.add(f"{name}.rows", "Reshape", layer, by_head)
                ahead.add(f"{name}.turned", "Transpose", rows, output=name, perm=turned)
            rows = behind.add(f"{key}.rows", "Transpose", f"{PRESENT}{key}", perm=_BY_HEAD)
            flat = behind.add(f"{key}.flat", "Reshape", rows, merged)
            shape = behind.add(f"{key}.shape", "Shape", flat)
            there = behind.add(f"{key}.there", "Slice", shape, one, two)
            missing = behind.add(f"{key}.missing", "Sub", positions, there)
            amounts = behind.add(f"{key}.amounts", "Concat", begin, missing, axis=0)
            padded = behind.add(f"{key}.padded", "Pad", flat, amounts, "", time)
            layers.append(behind.add(f"{key}.layer", "Unsqueeze", padded, first))
        behind.add(f"{cache}.all", "Concat", *layers, output=f"out_{cache}", axis=0)
    rename_values(graph, {"log_probs": "logits"})
    positions_of_all = all_positions(graph)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*positions_of_all, *ahead.nodes, *nodes, *behind.nodes])
    graph.initializer.extend([*ahead.tensors.values(), *behind.tensors.values()])
    caches = [
        Declared.of(f"in_{name}", "float32", count, "n_audio", DECODER_POSITIONS, width)
        for name in CACHES
    ]
    declare(
        graph,
        [
            Declared.of("tokens", "int64", "n_audio", "n_tokens"),
            *caches,
            *(Declared.of(name, "float32", count, "n_audio", "steps", width) for name in CROSS),
            Declared.of("offset", "int64", 1),
        ],
        [
            Declared.of("logits", "float32", "n_audio", "n_tokens", outputs),
            *(
                Declared.of(f"out_{name}", "float32", count, "n_audio", DECODER_POSITIONS, width)
                for name in CACHES
            ),
        ],
    )
    del graph.value_info[:]


def _append(graph: onnx.GraphProto, build: NodeBuilder) -> None:
    graph.node.extend(build.nodes)
    graph.initializer.extend(build.tensors.values())


def _metadata(source: Source, vocabulary: WhisperVocabulary, bands: int) -> dict[str, str]:
    """What steers sherpa-onnx's decoder; English-only models have tokens of tasks, too."""
    decoder = source.parts()[DECODER]
    heads, size = heads_of(decoder)
    languages = vocabulary.languages or {}
    before = vocabulary.previous
    transcribe, translate = vocabulary.transcribe, vocabulary.translate
    prompt = [vocabulary.start]
    if languages:
        prompt += [languages.get("en", next(iter(languages.values()))), transcribe]
    blank = next((n for n, piece in enumerate(vocabulary.pieces) if piece == b" "), 0)
    said = {
        "model_type": f"whisper-{source.info.name or _NAME}",
        "version": 1,
        "maintainer": "k2-fsa",
        "n_mels": bands,
        "n_audio_ctx": 1_500,
        "n_audio_state": heads * size,
        "n_audio_head": heads,
        "n_audio_layer": len(keys_of(decoder)) // 2,
        "n_vocab": vocabulary.size,
        "n_text_ctx": DECODER_POSITIONS,
        "n_text_state": heads * size,
        "n_text_head": heads,
        "n_text_layer": len(keys_of(decoder)) // 2,
        "sot_sequence": _listed(prompt),
        "all_language_tokens": _listed(languages.values()),
        "all_language_codes": _listed(languages),
        "sot": vocabulary.start,
        "sot_index": 0,
        "eot": vocabulary.end,
        "blank_id": blank,
        "is_multilingual": int(bool(languages)),
        "no_speech": vocabulary.no_speech,
        "non_speech_tokens": _listed(
            token for token in vocabulary.suppressed if token < vocabulary.end
        ),
        "transcribe": transcribe if languages else before - 2,
        "translate": translate if languages else before - 3,
        "sot_prev": before,
        "sot_lm": before - 1,
        "no_timestamps": vocabulary.no_timestamps,
    }
    return {key: str(value) for key, value in said.items()}


def _listed(values: Iterable[object]) -> str:
    return ",".join(map(str, values))
