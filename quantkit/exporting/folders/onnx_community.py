"""Encoders with a merged decoder, as optimum exports them and transformers.js opens them.

``encoder_model.onnx`` and ``decoder_model_merged.onnx``, in the folder or in ``onnx/``; beside them
``tokenizer.json``, or ``tokens.txt`` as Moonshine's own programs have it. The decoder takes
``input_ids``, ``encoder_hidden_states``, ``past_key_values.<layer>.<decoder|encoder>.<key|value>``
and ``use_cache_branch``, and gives ``logits`` and ``present.…``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantkit.arrays import Array, FloatArray
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.conversion.convert import convert
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError, ModelError, ParityError
from quantkit.exporting.folders.layout import (
    FolderFiles,
    Layout,
    graphs_called,
    optional,
    suffixes_of,
)
from quantkit.exporting.folders.merged_decoder import CHOICE, add_up_weights, branch_of
from quantkit.exporting.parity import TOLERANCE, ParityCase, ParityReport
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.graph.artifact import model_files, open_files
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.editor import name_all_nodes
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.joined import add_prefix, join, set_short_form
from quantkit.graph.renaming import rename_values
from quantkit.graph.roles import CROSSING, DECODER, ENCODER, PAST, PRESENT
from quantkit.graph.weight_holders import require_finite_weights
from quantkit.runtime.moonshine.settings import MOONSHINE, MoonshineSettings
from quantkit.runtime.session import create_session
from quantkit.runtime.speech_model import run_session
from quantkit.runtime.whisper.network import WhisperNetwork
from quantkit.tasks.names import MOONSHINE as TASK
from quantkit.text.label_files.folders import table_of
from quantkit.text.label_files.meaning import labels_of_table
from quantkit.text.label_files.table import LabelTable
from quantkit.text.labels import Labels
from quantkit.version import __version__

_STEMS = ("encoder_model", "decoder_model_merged")
_SUBFOLDER = "onnx"
_TOKENIZER, _TOKENS = "tokenizer.json", "tokens.txt"
_OTHERS = (
    *(_TOKENIZER, _TOKENS, "config.json", "generation_config.json", "preprocessor_config.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "quantize_config.json"),
)
_HEARS, _HEARD, _READS = "input_values", "last_hidden_state", "encoder_hidden_states"
# Of Moonshine: the shortest clip that its three convolutions leave a frame of.
_RATE, _SHORTEST = 16_000, 1_024
_END = "</s>"
# Ids and bytes of a token in each line; a token may be the end of a line itself.
_TOKEN_LINE = re.compile(rb"(.*?)\t(\d+)\r?\n", re.DOTALL)
_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")
_SECONDS = (0.5, 1.3, 3.0)
_TEXT = (5, 300, 17, 1_000, 42, 7)


class OnnxCommunity(Layout):
    """Moonshine."""

    name = "a Moonshine of onnx-community"

    def matches(self, folder: Path) -> bool:
        return bool(suffixes_of(_graph_folder(folder), _STEMS[1]))

    def files(self, folder: Path) -> FolderFiles:
        graphs, suffix = graphs_called(_graph_folder(folder), _STEMS, self.name)
        return FolderFiles(graphs, optional(folder, *_OTHERS), suffix)

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        files = self.files(folder)
        encoder, merged = (open_files(file).graph for file in files.graphs)
        _require_moonshine(encoder, merged, files.graphs)
        keys = _layers_of(merged)
        steps = (*convert(encoder, files.graphs[0]).steps,)
        heard = [f"{PRESENT}{key.replace('.', '.encoder.', 1)}" for key in keys]
        crossing = branch_of(merged, later=False, outputs=heard)
        decoder = branch_of(merged, later=True, outputs=["logits", *_own(PRESENT, keys)])
        for graph in (crossing, decoder):
            steps += convert(graph, files.graphs[1]).steps
        # Published files may hold levels and zero points, of which the graph makes the weights.
        for graph in (encoder, crossing, decoder):
            add_up_weights(graph.graph)
        vocabulary = _outputs(merged)
        whole = join([_with_crossing(encoder, crossing, keys), _with_positions(decoder, keys)])
        del whole.graph.value_info[:]
        digest = sha256_of(files.graphs[0])
        info = ArtifactInfo(
            labels=_labels(folder, vocabulary),
            frontend=WaveformFrontend(_RATE, _SHORTEST),
            fused=True,
            task=TASK,
            plan=float_plan(whole, digest),
            model_sha256=digest,
            version=__version__,
            name=name,
            extra={MOONSHINE: MoonshineSettings().to_json()},
        )
        report = save_artifact(whole, info, destination, partial(_compared, files.graphs, keys))
        return replace(report, notes=tuple(dict.fromkeys(steps)))


def _graph_folder(folder: Path) -> Path:
    inner = folder / _SUBFOLDER
    return inner if inner.is_dir() else folder


def _require_moonshine(
    encoder: onnx.ModelProto, merged: onnx.ModelProto, files: tuple[Path, ...]
) -> None:
    """Refuse models of other families in the same layout.

    Raises:
        InputError: what it is instead.
        ModelError: graphs without the inputs and outputs of the layout.
    """
    hears = [value.name for value in encoder.graph.input]
    if hears == ["input_features"]:
        raise InputError(
            f"{files[0]} takes a spectrogram, as a Whisper does: export the Whisper of "
            "transformers instead, whose graphs compute the same"
        )
    reads = {value.name for value in merged.graph.input}
    if hears != [_HEARS] or not {"input_ids", _READS, CHOICE} <= reads:
        raise ModelError(
            f"{files[0]} takes {', '.join(hears)} and {files[1]} {', '.join(sorted(reads))[:80]}…: "
            f"a Moonshine takes {_HEARS}, and its decoder input_ids, {_READS} and {CHOICE}"
        )


def _layers_of(merged: onnx.ModelProto) -> list[str]:
    """``0.key``, ``0.value``, ``1.key``, … of the keys and values that the decoder remembers."""
    pattern = re.compile(r"past_key_values\.(\d+)\.decoder\.(key|value)")
    found = (pattern.fullmatch(value.name) for value in merged.graph.input)
    return [f"{match[1]}.{match[2]}" for match in found if match]


def _own(prefix: str, keys: list[str]) -> list[str]:
    return [f"{prefix}{key.replace('.', '.decoder.', 1)}" for key in keys]


def _outputs(merged: onnx.ModelProto) -> int:
    logits = next(value for value in merged.graph.output if value.name == "logits")
    return int(logits.type.tensor_type.shape.dim[-1].dim_value)


def _with_crossing(
    encoder: onnx.ModelProto, crossing: onnx.ModelProto, keys: list[str]
) -> onnx.ModelProto:
    """The encoder with the keys and values that the decoder attends to as its outputs."""
    for key in keys:
        _shape_by_itself(crossing.graph, f"{PRESENT}{key.replace('.', '.encoder.', 1)}")
    drop_dead_nodes(crossing.graph)
    drop_unread_initializers(crossing.graph)
    name_all_nodes(encoder)
    name_all_nodes(crossing)
    add_prefix(encoder.graph, f"{ENCODER}.")
    add_prefix(crossing.graph, f"{CROSSING}attention.")
    graph = encoder.graph
    names = {_HEARS: "waveform"}
    rename_values(graph, names)
    crossed = {
        _READS: _HEARD,
        **{f"{PRESENT}{k.replace('.', '.encoder.', 1)}": f"{CROSSING}{k}" for k in keys},
    }
    rename_values(crossing.graph, crossed)
    graph.node.extend(crossing.graph.node)
    graph.initializer.extend(crossing.graph.initializer)
    del graph.input[:], graph.output[:]
    graph.input.append(
        helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])
    )
    graph.output.extend(_crossing_values(crossing, keys))
    set_short_form(encoder)
    return encoder


def _shape_by_itself(graph: onnx.GraphProto, output: str) -> None:
    """Let a product with the encoder's output be cut into heads without asking other values.

    The exported graph asks the decoder's tokens how many clips there are.

    Raises:
        ModelError: the output is computed in another way.
    """
    producers = {name: node for node in graph.node for name in node.output}
    declared = next(value for value in graph.output if value.name == output)
    heads, size = (
        declared.type.tensor_type.shape.dim[axis].dim_value for axis in (1, 3)
    )
    name = output
    while (node := producers.get(name)) is not None:
        if node.op_type == "Reshape":
            shape = f"{output}.by_head"
            graph.initializer.append(
                numpy_helper.from_array(np.array([0, -1, heads, size], np.int64), shape)
            )
            node.input[1] = shape
        if node.op_type in ("MatMul", "Gemm"):
            if _READS in node.input:
                return
            break
        name = next((each for each in node.input if each in producers), "")
    raise ModelError(f"its output {output} is no product with {_READS}")


def _crossing_values(crossing: onnx.ModelProto, keys: list[str]) -> list[onnx.ValueInfoProto]:
    sizes = [[dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in crossing.graph.output]
    return [
        helper.make_tensor_value_info(
            f"{CROSSING}{key}", TensorProto.FLOAT, ["batch", size[1], "steps", size[3]]
        )
        for key, size in zip(keys, sizes, strict=True)
    ]


def _with_positions(decoder: onnx.ModelProto, keys: list[str]) -> onnx.ModelProto:
    """The decoder with the names of an artifact, and log-probabilities at some positions."""
    name_all_nodes(decoder)
    add_prefix(decoder.graph, f"{DECODER}.")
    graph = decoder.graph
    states = [value for value in graph.input if value.name.startswith("past_key_values.")]
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in states}
    names = {"input_ids": "tokens", "logits": f"{DECODER}.logits"}
    for key in keys:
        inner, outer = key.replace(".", ".decoder.", 1), key.replace(".", ".encoder.", 1)
        names |= {
            f"past_key_values.{inner}": f"{PAST}{key}",
            f"past_key_values.{outer}": f"{CROSSING}{key}",
            f"{PRESENT}{inner}": f"{PRESENT}{key}",
        }
    rename_values(graph, names)
    chosen = f"{DECODER}.chosen"
    graph.node.extend(
        [
            helper.make_node(
                "Gather", [f"{DECODER}.logits", "positions"], [chosen], chosen, axis=1
            ),
            helper.make_node("LogSoftmax", [chosen], ["log_probs"], "log_probs", axis=-1),
        ]
    )
    outputs = sizes and next(iter(sizes.values()))
    del graph.input[:], graph.output[:]
    heads, size = outputs[1], outputs[3]
    whole = TensorProto.INT64

    def state(prefix: str, key: str, length: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(
            f"{prefix}{key}", TensorProto.FLOAT, ["batch", heads, length, size]
        )

    graph.input.extend(
        [
            helper.make_tensor_value_info("tokens", whole, ["batch", "count"]),
            helper.make_tensor_value_info("positions", whole, ["wanted"]),
            *(state(PAST, key, "past") for key in keys),
            *(state(CROSSING, key, "steps") for key in keys),
        ]
    )
    graph.output.extend(
        [
            helper.make_tensor_value_info(
                "log_probs", TensorProto.FLOAT, ["batch", "wanted", "vocabulary"]
            ),
            *(state(PRESENT, key, "present") for key in keys),
        ]
    )
    return decoder


def _labels(folder: Path, outputs: int) -> Labels:
    """What the tokens write; outputs beyond the vocabulary write nothing.

    Raises:
        InputError: there is no vocabulary, or it is of another model.
    """
    for name in (_TOKENIZER, _TOKENS):
        path = folder / name
        if path.is_file():
            table = table_of(path) if name == _TOKENIZER else _table_of_tokens(path)
            break
    else:
        raise InputError(f"{folder} has no {_TOKENIZER} or {_TOKENS}, which says what tokens are")
    if len(table.names) > outputs or _END not in table.names:
        raise InputError(
            f"{path} has {len(table.names)} tokens, and the model writes {outputs}: they are of "
            "different models"
        )
    padding = tuple(f"<unused {number}>" for number in range(len(table.names), outputs))
    names = (*table.names, *padding)
    # A character may be a token and a byte.
    table = LabelTable(
        names, table.origin, silent=table.silent | {*padding}, spelling="sentencepiece", alike=True
    )
    return labels_of_table(table, outputs, names.index(_END))


def _table_of_tokens(path: Path) -> LabelTable:
    """``token<TAB>id`` in lines; tokens of one byte are that byte, or ``\\xNN``."""
    pairs = [(int(number), token) for token, number in _TOKEN_LINE.findall(path.read_bytes())]
    if [number for number, _ in pairs] != [*range(len(pairs))]:
        raise InputError(f"{path}: its lines are not `token<TAB>id`, from id 0 on")
    return LabelTable(tuple(_spelt(token) for _, token in pairs), str(path))


def _spelt(token: bytes) -> str:
    if escaped := _ESCAPED.fullmatch(token):
        return f"<0x{escaped[1].decode().upper()}>"
    if len(token) == 1 and not 0x21 <= token[0] <= 0x7E:
        return f"<0x{token[0]:02X}>"
    return token.decode("utf-8", "replace")


def _compared(files: tuple[Path, ...], keys: list[str], path: Path) -> ParityReport:
    """Does the artifact say what the folder's own files say, on noise and a text of any tokens?

    Raises:
        ParityError: it does not.
    """
    encoder, merged = (create_session(file, threads=0) for file in files)
    network = WhisperNetwork.load(*model_files(path), threads=0)
    cases = []
    for seconds in _SECONDS:
        noise = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * _RATE))
        waveform = noise.astype(np.float32)[None]
        (heard,) = run_session(encoder, [_HEARD], {_HEARS: waveform})
        encoded, memory = network.encode(waveform), network.empty_memory()
        kept = _nothing(merged)
        for place, token in enumerate(_TEXT):
            tokens = np.array([[token]])
            feed = {"input_ids": tokens, _READS: heard, CHOICE: np.array([place > 0]), **kept}
            logits, *present = run_session(
                merged, ["logits", *(f"{PRESENT}{name}" for name in _remembered(keys))], feed
            )
            after = zip(_remembered(keys), present, strict=True)
            kept |= {f"past_key_values.{n}": v for n, v in after if not (place and "encoder" in n)}
            found, memory = network.step(tokens, encoded, memory)
            expected = logits[0, -1] - np.logaddexp.reduce(logits[0, -1].astype(np.float64))
            off = np.abs(found[0, -1] - expected) / np.maximum(1.0, np.abs(expected))
            worst = float(off.max()) if np.isfinite(off).all() else float("inf")
            where = f"token {place + 1} after {seconds:g} s of noise: off by {worst:.3g}"
            cases.append(ParityCase(1, waveform.shape[1], worst, where))
    report = ParityReport(10 * TOLERANCE, tuple(cases), "the original")
    if not report.worst.difference <= 10 * TOLERANCE:
        raise ParityError(
            f"{path.name} differs from the folder's own files: {report.worst.where}, beyond the "
            f"tolerance of {10 * TOLERANCE:g}"
        )
    return report


def _remembered(keys: list[str]) -> list[str]:
    return [key.replace(".", f".{side}.", 1) for side in ("decoder", "encoder") for key in keys]


def _nothing(merged: object) -> dict[str, Array]:
    inputs = merged.get_inputs()  # type: ignore[attr-defined]
    return {
        value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
        for value in inputs
        if value.name.startswith("past_key_values.")
    }
