"""Tiny transducers with random weights, as folders that other programs open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.graph_writer import GraphWriter

LETTERS = ("▁", "a", "b", "c", "d", "e", "f")
WIDTH, BANDS, DURATIONS = 48, 80, 3


def write_nemo(
    folder: Path, *, durations: int = DURATIONS, seed: int = 0, addition: str = ""
) -> Path:
    """A folder of onnx-asr's type ``nemo-conformer-tdt``, or without durations ``…-rnnt``."""
    labels = len(LETTERS) + 1
    encoder = GraphWriter(seed)
    encoder.weight("own", WIDTH, BANDS, 4, gain=2.0)
    encoder.add("Conv", ["audio_signal", "own"], "convolved", strides=[4])
    encoder.add("Tanh", ["convolved"], "curved")
    encoder.add("Transpose", ["curved"], "turned", perm=[0, 2, 1])
    encoder.add("MatMul", ["turned", encoder.weight("mixing", WIDTH, WIDTH, gain=2.0)], "mixed")
    encoder.add("Transpose", ["mixed"], "outputs", perm=[0, 2, 1])
    encoder.add("Div", ["length", encoder.constant("stride", np.array(4))], "encoded_lengths")
    encoder.save(
        folder / f"encoder-model{addition}.onnx",
        {"audio_signal": ("f", ["batch", BANDS, "time"]), "length": ("l", ["batch"])},
        {"outputs": ("f", ["batch", WIDTH, "steps"]), "encoded_lengths": ("l", ["batch"])},
        {"made_by": "a test"},
    )
    decoder = GraphWriter(seed + 1)
    decoder.add("Cast", ["targets"], "rows", to=TensorProto.INT64)
    embedding = decoder.weight("embedding", labels, WIDTH, gain=2.0)
    decoder.add("Gather", [embedding, "rows"], "embedded")
    decoder.add("Transpose", ["embedded"], "over_time", perm=[1, 0, 2])
    weights = [decoder.weight(name, 1, 4 * WIDTH, WIDTH, gain=8.0) for name in ("lstm.W", "lstm.R")]
    bias = decoder.constant("lstm.B", np.zeros((1, 8 * WIDTH), np.float32))
    states = ["", "input_states_1", "input_states_2"]
    decoder.add(
        "LSTM",
        ["over_time", *weights, bias, *states],
        "steps output_states_1 output_states_2",
        hidden_size=WIDTH,
    )
    decoder.add("Squeeze", ["steps", decoder.constant("one", np.array([1]))], "read")
    decoder.add("Transpose", ["read"], "by_label", perm=[1, 0, 2])
    decoder.add("Unsqueeze", ["by_label", "one"], "below")
    decoder.add("Transpose", ["encoder_outputs"], "frames", perm=[0, 2, 1])
    decoder.add("Unsqueeze", ["frames", decoder.constant("two", np.array([2]))], "beside")
    decoder.add("Add", ["below", "beside"], "sum")
    decoder.add("Tanh", ["sum"], "joined")
    head = decoder.weight("head", WIDTH, labels + durations, gain=4.0)
    decoder.add("MatMul", ["joined", head], "scores")
    # The blank is likely, or texts would be as long as they may be.
    likely = 3.0 * np.eye(labels + durations, dtype=np.float32)[labels - 1]
    decoder.add("Add", ["scores", decoder.constant("likely", likely)], "outputs")
    decoder.add("Identity", ["target_length"], "prednet_lengths")
    state: tuple[str, Sequence[int | str]] = ("f", [1, "batch", WIDTH])
    decoder.save(
        folder / f"decoder_joint-model{addition}.onnx",
        {
            "encoder_outputs": ("f", ["batch", WIDTH, "steps"]),
            "targets": ("i", ["batch", "labels"]),
            "target_length": ("i", ["batch"]),
            "input_states_1": state,
            "input_states_2": state,
        },
        {
            "outputs": ("f", ["batch", "steps", "labels", "scores"]),
            "prednet_lengths": ("i", ["batch"]),
            "output_states_1": state,
            "output_states_2": state,
        },
    )
    _write_labels(folder / "vocab.txt", (*LETTERS, "<blk>"))
    kind = "tdt" if durations else "rnnt"
    config = {"model_type": f"nemo-conformer-{kind}", "features_size": BANDS}
    (folder / "config.json").write_text(json.dumps({**config, "subsampling_factor": 4}))
    return folder


def write_icefall(
    folder: Path, *, inner: str = "am-onnx", addition: str = "", seed: int = 0
) -> Path:
    """A folder of onnx-asr's type ``kaldi-rnnt``, or with ``inner`` empty of sherpa-onnx."""
    labels = len(LETTERS) + 1
    graphs = folder / inner
    encoder = GraphWriter(seed)
    encoder.add("Transpose", ["x"], "bands", perm=[0, 2, 1])
    encoder.weight("own", WIDTH, BANDS, 4, gain=0.3)
    encoder.add("Conv", ["bands", "own"], "convolved", strides=[4])
    encoder.add("Tanh", ["convolved"], "curved")
    encoder.add("Transpose", ["curved"], "turned", perm=[0, 2, 1])
    encoder.add(
        "MatMul", ["turned", encoder.weight("mixing", WIDTH, WIDTH, gain=2.0)], "encoder_out"
    )
    encoder.add("Div", ["x_lens", encoder.constant("stride", np.array(4))], "encoder_out_lens")
    encoder.save(
        graphs / f"encoder{addition}.onnx",
        {"x": ("f", ["N", "T", BANDS]), "x_lens": ("l", ["N"])},
        {"encoder_out": ("f", ["N", "S", WIDTH]), "encoder_out_lens": ("l", ["N"])},
        {"model_type": "zipformer2", "comment": "a test"},
    )
    decoder = GraphWriter(seed + 1)
    nothing = decoder.constant("nothing", np.array(0))
    decoder.add("Max", ["y", nothing], "rows")
    decoder.add(
        "Gather", [decoder.weight("embedding", labels, WIDTH, gain=2.0), "rows"], "embedded"
    )
    decoder.add("Less", ["y", nothing], "missing")
    decoder.add("Not", ["missing"], "there")
    decoder.add("Cast", ["there"], "mask", to=TensorProto.FLOAT)
    decoder.add("Unsqueeze", ["mask", decoder.constant("two", np.array([2]))], "column")
    decoder.add("Mul", ["embedded", "column"], "masked")
    decoder.add("Reshape", ["masked", decoder.constant("flat", np.array([0, -1]))], "both")
    decoder.add("MatMul", ["both", decoder.weight("projection", 2 * WIDTH, WIDTH)], "decoder_out")
    decoder.save(
        graphs / f"decoder{addition}.onnx",
        {"y": ("l", ["N", 2])},
        {"decoder_out": ("f", ["N", WIDTH])},
        {"context_size": "2", "vocab_size": str(labels)},
    )
    joiner = GraphWriter(seed + 2)
    joiner.add("Add", ["encoder_out", "decoder_out"], "sum")
    joiner.add("Tanh", ["sum"], "joined")
    joiner.add("MatMul", ["joined", joiner.weight("head", WIDTH, labels, gain=4.0)], "scores")
    likely = 3.0 * np.eye(labels, dtype=np.float32)[0]
    joiner.add("Add", ["scores", joiner.constant("likely", likely)], "logit")
    joiner.save(
        graphs / f"joiner{addition}.onnx",
        {"encoder_out": ("f", ["N", WIDTH]), "decoder_out": ("f", ["N", WIDTH])},
        {"logit": ("f", ["N", labels])},
        {"joiner_dim": str(WIDTH)},
    )
    _write_labels(folder / ("lang" if inner else "") / "tokens.txt", ("<blk>", *LETTERS))
    return folder


def write_sherpa_nemo(folder: Path, *, durations: int = 0, seed: int = 0) -> Path:
    """A NeMo transducer as sherpa-onnx has it, in three graphs; states have names of a tracer."""
    labels = len(LETTERS) + 1
    write_nemo(folder, durations=durations, seed=seed)
    encoder = onnx.load(folder / "encoder-model.onnx")
    said = {
        "vocab_size": str(labels - 1),
        "normalize_type": "per_feature",
        "pred_rnn_layers": "1",
        "pred_hidden": str(WIDTH),
        "subsampling_factor": "4",
        "model_type": "EncDecRNNTBPEModel",
        "feat_dim": str(BANDS),
        # It is by this that sherpa-onnx knows durations.
        "url": "https://example.org/a-tdt" if durations else "",
    }
    helper.set_model_props(encoder, said)
    onnx.save(encoder, folder / "encoder.onnx")
    whole = onnx.load(folder / "decoder_joint-model.onnx")
    constants = {tensor.name: tensor for tensor in whole.graph.initializer}
    nodes = {node.name: node for node in whole.graph.node}
    state: tuple[str, Sequence[int | str]] = ("f", [1, "batch", WIDTH])

    decoder = GraphWriter(seed)
    for name in ("/rows", "/embedded", "/over_time", "/steps", "/read"):
        decoder.nodes.append(nodes[name])
    decoder.constants += [
        constants[name] for name in ("embedding", "lstm.W", "lstm.R", "lstm.B", "one")
    ]
    decoder.nodes[3].input[5:7] = ["states.1", "onnx::LSTM_3"]
    decoder.nodes[3].output[1:3] = ["states", "162"]
    decoder.add("Transpose", ["read"], "outputs", perm=[1, 2, 0])
    decoder.add("Identity", ["target_length"], "prednet_lengths")
    decoder.save(
        folder / "decoder.onnx",
        {
            "targets": ("i", ["batch", "labels"]),
            "target_length": ("i", ["batch"]),
            "states.1": state,
            "onnx::LSTM_3": state,
        },
        {
            "outputs": ("f", ["batch", WIDTH, "labels"]),
            "prednet_lengths": ("i", ["batch"]),
            "states": state,
            "162": state,
        },
    )
    joiner = GraphWriter(seed)
    joiner.add("Transpose", ["decoder_outputs"], "by_label", perm=[0, 2, 1])
    for name in ("/below", "/frames", "/beside", "/sum", "/joined", "/scores", "/outputs"):
        joiner.nodes.append(nodes[name])
    joiner.constants += [constants[name] for name in ("one", "two", "head", "likely")]
    joiner.save(
        folder / "joiner.onnx",
        {
            "encoder_outputs": ("f", ["batch", WIDTH, "steps"]),
            "decoder_outputs": ("f", ["batch", WIDTH, "labels"]),
        },
        {"outputs": ("f", ["batch", "steps", "labels", "scores"])},
    )
    for name in ("encoder-model.onnx", "decoder_joint-model.onnx", "config.json"):
        (folder / name).unlink()
    (folder / "vocab.txt").rename(folder / "tokens.txt")
    return folder


def write_nemo_ctc(folder: Path, seed: int = 0) -> Path:
    """A folder of onnx-asr's type ``nemo-conformer-ctc``."""
    labels = len(LETTERS) + 1
    model = GraphWriter(seed)
    model.weight("own", WIDTH, BANDS, 4, gain=2.0)
    model.add("Conv", ["audio_signal", "own"], "convolved", strides=[4])
    model.add("Tanh", ["convolved"], "curved")
    model.add("Transpose", ["curved"], "turned", perm=[0, 2, 1])
    model.add("MatMul", ["turned", model.weight("head", WIDTH, labels, gain=4.0)], "scores")
    model.add("LogSoftmax", ["scores"], "logprobs", axis=-1)
    model.save(
        folder / "model.onnx",
        {"audio_signal": ("f", ["batch", BANDS, "time"]), "length": ("l", ["batch"])},
        {"logprobs": ("f", ["batch", "steps", labels])},
    )
    _write_labels(folder / "vocab.txt", (*LETTERS, "<blk>"))
    config = {"model_type": "nemo-conformer-ctc", "features_size": BANDS, "subsampling_factor": 4}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _write_labels(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{name} {number}" for number, name in enumerate(names))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


CHUNK, SHIFT, KEPT = 13, 8, 2


def _hear_in_chunks(graph: GraphWriter, audio: str, output: str) -> None:
    """Nodes of an encoder of chunks: ``audio`` (N, T, bands) to ``output`` (N, 2, WIDTH).

    Its caches are those of a convolution and of an attention, whose clips lie on the second axis.
    """
    graph.add("Transpose", [audio], "bands", perm=[0, 2, 1])
    graph.weight("own", WIDTH, BANDS, 6, gain=0.3)
    graph.add("Conv", ["bands", "own"], "convolved", strides=[4])
    graph.add("Tanh", ["convolved"], "curved")
    graph.add("Concat", ["cached_conv", "curved"], "longer", axis=2)
    ends = [graph.constant(f"int{n}", np.array([n])) for n in (-KEPT, 1 << 40)]
    axes = [graph.constant(f"axis{n}", np.array([n])) for n in range(3)]
    graph.add("Slice", ["longer", *ends, axes[2]], "new_cached_conv")
    graph.weight("taps", WIDTH, WIDTH, 3)
    graph.add("Conv", ["longer", "taps"], "seen")
    graph.add("Tanh", ["seen"], "bent")
    graph.add("Transpose", ["bent"], "steps", perm=[2, 0, 1])
    graph.add("Concat", ["cached_key", "steps"], "keys", axis=0)
    last = graph.constant("int-4", np.array([-4]))
    graph.add("Slice", ["keys", last, ends[1], axes[0]], "new_cached_key")
    graph.add("ReduceMean", ["keys"], "mean", axes=[0], keepdims=1)
    graph.add("Add", ["steps", "mean"], "attended")
    graph.add("Transpose", ["attended"], "by_clip", perm=[1, 0, 2])
    graph.add("MatMul", ["by_clip", graph.weight("mixing", WIDTH, WIDTH, gain=2.0)], output)
    two = graph.constant("two_rows", np.array([2]))
    graph.add("Add", ["processed_lens", two], "new_processed_lens")


# What else a layer of a Zipformer remembers: here it only fades.
_FADING = {
    "cached_nonlin_attn_0": [1, "N", 4, 3 * WIDTH // 4],
    "cached_val1_0": [4, "N", WIDTH],
    "cached_val2_0": [4, "N", WIDTH],
    "cached_conv2_0": ["N", WIDTH, KEPT],
    "embed_states": ["N", 128, 3, 19],
}


def _hear_as_icefall(graph: GraphWriter, output: str) -> None:
    """Nodes of an encoder with one layer of a streaming Zipformer: ``x`` to ``output``."""
    graph.add("Identity", ["cached_key_0"], "cached_key")
    graph.add("Identity", ["cached_conv1_0"], "cached_conv")
    _hear_in_chunks(graph, "x", output)
    graph.add("Identity", ["new_cached_key"], "new_cached_key_0")
    graph.add("Identity", ["new_cached_conv"], "new_cached_conv1_0")
    half = graph.constant("half", np.array(0.5, np.float32))
    for name in _FADING:
        graph.add("Mul", [name, half], f"new_{name}")


def _caches(clips: int | str, prefix: str = "") -> dict[str, tuple[str, Sequence[int | str]]]:
    """In the order in which sherpa-onnx gives them."""
    shapes = {
        "cached_key_0": [4, "N", WIDTH],
        **{name: _FADING[name] for name in [*_FADING][:3]},
        "cached_conv1_0": ["N", WIDTH, KEPT],
        **{name: _FADING[name] for name in [*_FADING][3:]},
        "processed_lens": ["N"],
    }
    return {
        f"{prefix}{name}": (
            "l" if name == "processed_lens" else "f",
            [clips if size == "N" else size for size in shape],
        )
        for name, shape in shapes.items()
    }


_CHUNKS = {
    "T": str(CHUNK),
    "decode_chunk_len": str(SHIFT),
    "model_type": "zipformer2",
    "encoder_dims": str(WIDTH),
    "query_head_dims": str(WIDTH // 4),
    "value_head_dims": str(WIDTH // 4),
    "num_heads": "4",
    "num_encoder_layers": "1",
    "cnn_module_kernels": str(2 * KEPT + 1),
    "left_context_len": "4",
}


def write_streaming_icefall(folder: Path, *, clips: int | str = "N", seed: int = 0) -> Path:
    """A streaming transducer of icefall as sherpa-onnx opens it.

    Args:
        clips: size of the axis of clips, or its name.
    """
    write_icefall(folder, inner="", seed=seed)
    encoder = GraphWriter(seed)
    _hear_as_icefall(encoder, "encoder_out")
    encoder.save(
        folder / "encoder.onnx",
        {"x": ("f", [clips, CHUNK, BANDS]), **_caches(clips)},
        {"encoder_out": ("f", [clips, 2, WIDTH]), **_caches(clips, "new_")},
        _CHUNKS,
    )
    return folder


def write_streaming_ctc(
    folder: Path,
    *,
    clips: int | str = "N",
    seed: int = 0,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A streaming CTC model of icefall as sherpa-onnx opens it."""
    labels = len(LETTERS) + 1
    model = GraphWriter(seed)
    _hear_as_icefall(model, "encoder_out")
    model.add("MatMul", ["encoder_out", model.weight("head", WIDTH, labels, gain=4.0)], "scores")
    model.add("LogSoftmax", ["scores"], "log_probs", axis=-1)
    model.save(
        folder / "ctc-epoch-20-avg-1-chunk-16-left-128.onnx",
        {"x": ("f", [clips, CHUNK, BANDS]), **_caches(clips)},
        {"log_probs": ("f", [clips, 2, labels]), **_caches(clips, "new_")},
        _CHUNKS if metadata is None else metadata,
    )
    _write_labels(folder / "tokens.txt", ("<blk>", *LETTERS))
    return folder


_OPEN = "{}_dynamic_axes_{}"


def _hear_as_nemo(graph: GraphWriter, normalize: str) -> tuple[dict[str, Any], ...]:
    """Nodes of a cache-aware encoder of NeMo, to ``encoder_out`` (N, 2, WIDTH).

    Returns:
        inputs and outputs but for what it hears, with axes that its exporter leaves open; metadata.
    """
    axis = graph.constant("layer_axis", np.array([1]))
    graph.add("Transpose", ["audio_signal"], "over_time", perm=[0, 2, 1])
    graph.add("Squeeze", ["cache_last_time", axis], "cached_conv")
    graph.add("Squeeze", ["cache_last_channel", axis], "kept")
    graph.add("Transpose", ["kept"], "cached_key", perm=[1, 0, 2])
    graph.add("Identity", ["cache_last_channel_len"], "processed_lens")
    _hear_in_chunks(graph, "over_time", "encoder_out")
    graph.add("Unsqueeze", ["new_cached_conv", axis], "cache_last_time_next")
    graph.add("Transpose", ["new_cached_key"], "new_kept", perm=[1, 0, 2])
    graph.add("Unsqueeze", ["new_kept", axis], "cache_last_channel_next")
    graph.add("Identity", ["new_processed_lens"], "cache_last_channel_next_len")
    graph.add("Sub", ["length", "length"], "none")
    graph.add("Add", ["none", "two_rows"], "encoded_lengths")

    def caches(after: str) -> dict[str, Any]:
        channel, time = f"cache_last_channel{after}", f"cache_last_time{after}"
        return {
            channel: ("f", [_OPEN.format(channel, 1), 1, _OPEN.format(channel, 2), WIDTH]),
            time: ("f", [_OPEN.format(time, 1), 1, WIDTH, _OPEN.format(time, 2)]),
            f"{channel}_len": ("l", [_OPEN.format(f"{channel}_len", 1)]),
        }

    said = {
        "window_size": CHUNK,
        "chunk_shift": SHIFT,
        "subsampling_factor": 4,
        "normalize_type": normalize,
        "vocab_size": len(LETTERS),
        **{f"cache_last_channel_dim{n}": size for n, size in enumerate((1, 4, WIDTH), 1)},
        **{f"cache_last_time_dim{n}": size for n, size in enumerate((1, WIDTH, KEPT), 1)},
    }
    heard = {
        "audio_signal": ("f", [_OPEN.format("audio_signal", 1), BANDS, _OPEN.format("a", 2)]),
        "length": ("l", [_OPEN.format("length", 1)]),
    }
    metadata = {key: str(value) for key, value in said.items()}
    return {**heard, **caches("")}, caches("_next"), metadata


def write_streaming_nemo_ctc(folder: Path, *, normalize: str = "NA", seed: int = 0) -> Path:
    """A cache-aware CTC model of NeMo as sherpa-onnx opens it."""
    labels = len(LETTERS) + 1
    model = GraphWriter(seed)
    inputs, outputs, metadata = _hear_as_nemo(model, normalize)
    model.add("MatMul", ["encoder_out", model.weight("head", WIDTH, labels, gain=4.0)], "scores")
    model.add("LogSoftmax", ["scores"], "logprobs", axis=-1)
    made = {"logprobs": ("f", ["N", "S", labels]), "encoded_lengths": ("l", ["N"])}
    metadata["model_type"] = "EncDecCTCModelBPE"
    model.save(folder / "model.onnx", inputs, {**made, **outputs}, metadata)
    _write_labels(folder / "tokens.txt", (*LETTERS, "<blk>"))
    return folder


def write_streaming_nemo(folder: Path, *, normalize: str = "NA", seed: int = 0) -> Path:
    """A cache-aware transducer of NeMo as sherpa-onnx opens it."""
    write_sherpa_nemo(folder, seed=seed)
    encoder = GraphWriter(seed)
    inputs, outputs, metadata = _hear_as_nemo(encoder, normalize)
    encoder.add("Transpose", ["encoder_out"], "outputs", perm=[0, 2, 1])
    made = {"outputs": ("f", ["N", WIDTH, "S"]), "encoded_lengths": ("l", ["N"])}
    metadata |= {"pred_rnn_layers": "1", "pred_hidden": str(WIDTH)}
    metadata["model_type"] = "EncDecHybridRNNTCTCBPEModel"
    encoder.save(folder / "encoder.onnx", inputs, {**made, **outputs}, metadata)
    return folder


def write_gigaam(folder: Path, *, version: str = "v2", e2e: bool = False, seed: int = 0) -> Path:
    """A folder of onnx-asr's types ``gigaam-v2-rnnt``, ``gigaam-v3-rnnt`` and ``…-e2e-rnnt``.

    The axes of predictor and joiner are those of one text, as its exporter declares them.
    """
    labels, read = len(LETTERS) + 1, 320
    name = f"{version}{'_e2e' if e2e else ''}_rnnt"
    encoder = GraphWriter(seed)
    encoder.weight("own", WIDTH, 64, 4, gain=0.3)
    encoder.add("Conv", ["audio_signal", "own"], "convolved", strides=[4])
    encoder.add("Tanh", ["convolved"], "curved")
    encoder.add("Transpose", ["curved"], "turned", perm=[0, 2, 1])
    encoder.add("MatMul", ["turned", encoder.weight("mixing", WIDTH, WIDTH, gain=2.0)], "mixed")
    encoder.add("Transpose", ["mixed"], "encoded", perm=[0, 2, 1])
    encoder.add("Div", ["length", encoder.constant("stride", np.array(4))], "steps")
    encoder.add("Cast", ["steps"], "encoded_len", to=TensorProto.INT32)
    encoder.save(
        folder / f"{name}_encoder.onnx",
        {"audio_signal": ("f", ["batch_size", 64, "seq_len"]), "length": ("l", ["batch_size"])},
        {"encoded": ("f", ["batch_size", WIDTH, "S"]), "encoded_len": ("i", ["batch_size"])},
    )
    decoder = GraphWriter(seed + 1)
    embedding = decoder.weight("embedding", labels, read, gain=2.0)
    decoder.add("Gather", [embedding, "x"], "embedded")
    decoder.add("Transpose", ["embedded"], "over_time", perm=[1, 0, 2])
    weights = [decoder.weight(each, 1, 4 * read, read, gain=8.0) for each in ("lstm.W", "lstm.R")]
    bias = decoder.constant("lstm.B", np.zeros((1, 8 * read), np.float32))
    lstm = ["over_time", *weights, bias, "", "h.1", "c.1"]
    decoder.add("LSTM", lstm, "steps h c", hidden_size=read)
    decoder.add("Squeeze", ["steps", decoder.constant("one", np.array([1]))], "read")
    decoder.add("Transpose", ["read"], "dec", perm=[1, 0, 2])
    state = ("f", [1, 1, read])
    decoder.save(
        folder / f"{name}_decoder.onnx",
        {"x": ("l", [1, 1]), "h.1": state, "c.1": state},
        {"dec": ("f", [1, 1, read]), "h": state, "c": state},
    )
    joint = GraphWriter(seed + 2)
    for value, width in (("enc", WIDTH), ("dec", read)):
        joint.add("Transpose", [value], f"{value}.rows", perm=[0, 2, 1])
        weight = joint.weight(f"{value}.weight", width, WIDTH)
        joint.add("MatMul", [f"{value}.rows", weight], f"{value}.joined")
    for value, axis in (("enc", 2), ("dec", 1)):
        axes = joint.constant(f"{value}.axis", np.array([axis]))
        joint.add("Unsqueeze", [f"{value}.joined", axes], f"{value}.beside")
    joint.add("Add", ["enc.beside", "dec.beside"], "sum")
    joint.add("Relu", ["sum"], "bent")
    joint.add("MatMul", ["bent", joint.weight("head", WIDTH, labels, gain=4.0)], "scores")
    likely = 3.0 * np.eye(labels, dtype=np.float32)[labels - 1]
    joint.add("Add", ["scores", joint.constant("likely", likely)], "logits")
    joint.add("LogSoftmax", ["logits"], "joint", axis=-1)
    joint.save(
        folder / f"{name}_joint.onnx",
        {"enc": ("f", [1, WIDTH, 1]), "dec": ("f", [1, read, 1])},
        {"joint": ("f", [1, 1, 1, labels])},
    )
    _write_gigaam_files(folder, version, name if e2e else version)
    return folder


def write_gigaam_ctc(
    folder: Path, *, version: str = "v2", e2e: bool = False, seed: int = 0
) -> Path:
    """A folder of onnx-asr's types ``gigaam-v2-ctc``, ``gigaam-v3-ctc`` and ``…-e2e-ctc``."""
    labels = len(LETTERS) + 1
    name = f"{version}{'_e2e' if e2e else ''}_ctc"
    model = GraphWriter(seed)
    model.weight("own", WIDTH, 64, 4, gain=0.3)
    model.add("Conv", ["features", "own"], "convolved", strides=[4], pads=[0, 3])
    model.add("Tanh", ["convolved"], "curved")
    model.add("Transpose", ["curved"], "turned", perm=[0, 2, 1])
    model.add("MatMul", ["turned", model.weight("head", WIDTH, labels, gain=4.0)], "scores")
    model.add("LogSoftmax", ["scores"], "log_probs", axis=-1)
    model.save(
        folder / f"{name}.onnx",
        {"features": ("f", ["batch_size", 64, "T"]), "feature_lengths": ("l", ["batch_size"])},
        {"log_probs": ("f", ["batch_size", "S", labels])},
    )
    _write_gigaam_files(folder, version, name if e2e else version)
    return folder


def write_sherpa_gigaam(folder: Path, seed: int = 0) -> Path:
    """GigaAM's transducer as sherpa-onnx publishes it: its predictor is told a length, too."""
    write_gigaam(folder, seed=seed)
    encoder = onnx.load(folder / "v2_rnnt_encoder.onnx")
    said = {
        "vocab_size": str(len(LETTERS)),
        "pred_rnn_layers": "1",
        "pred_hidden": "320",
        "normalize_type": "",
        "subsampling_factor": "4",
        "model_type": "EncDecRNNTBPEModel",
        "version": "2",
        "is_giga_am": "1",
    }
    helper.set_model_props(encoder, said)
    onnx.save(encoder, folder / "encoder.onnx")
    decoder = onnx.load(folder / "v2_rnnt_decoder.onnx")
    graph = decoder.graph
    rows = helper.make_node("Cast", ["x"], ["x.rows"], "/x.rows", to=TensorProto.INT64)
    (gather,) = (node for node in graph.node if node.op_type == "Gather")
    gather.input[1] = "x.rows"
    # Rows of steps before the width of each: (1, read, 1).
    next(node for node in graph.node if node.output[0] == "dec").output[0] = "dec.rows"
    one = numpy_helper.from_array(np.array(1, np.int32), "one_more")
    added = [
        helper.make_node("Transpose", ["dec.rows"], ["dec"], "/dec.wide", perm=[0, 2, 1]),
        helper.make_node("Add", ["unused_x_len.1", "one_more"], ["unused_x_len"], "/more"),
    ]
    nodes = [rows, *graph.node, *added]
    length, state = ("i", [1]), ("f", [1, 1, 320])
    writer = GraphWriter(seed)
    writer.nodes = nodes
    writer.constants = [*graph.initializer, one]
    writer.save(
        folder / "decoder.onnx",
        {"x": ("i", [1, 1]), "unused_x_len.1": length, "h.1": state, "c.1": state},
        {"dec": ("f", [1, 320, 1]), "unused_x_len": length, "h": state, "c": state},
    )
    (folder / "v2_rnnt_joint.onnx").rename(folder / "joiner.onnx")
    for name in ("v2_rnnt_encoder.onnx", "v2_rnnt_decoder.onnx", "config.json"):
        (folder / name).unlink()
    (folder / "v2_vocab.txt").rename(folder / "tokens.txt")
    return folder


def write_sherpa_gigaam_ctc(folder: Path, *, gigaam: bool = True, seed: int = 0) -> Path:
    """GigaAM's CTC model as sherpa-onnx publishes it, or one of NeMo."""
    (write_gigaam_ctc if gigaam else write_nemo_ctc)(folder, seed=seed)
    (path,) = folder.glob("*.onnx")
    model = onnx.load(path)
    said = {
        "vocab_size": str(len(LETTERS) + 1),
        "normalize_type": "" if gigaam else "per_feature",
        "subsampling_factor": "4",
        "model_type": "EncDecCTCModel",
        **({"is_giga_am": "1"} if gigaam else {}),
    }
    helper.set_model_props(model, said)
    path.unlink()
    onnx.save(model, folder / "model.onnx")
    (folder / "config.json").unlink()
    (vocabulary,) = folder.glob("*vocab.txt")
    vocabulary.rename(folder / "tokens.txt")
    return folder


def _write_gigaam_files(folder: Path, version: str, name: str) -> None:
    _write_labels(folder / f"{name}_vocab.txt", (*LETTERS, "<blk>"))
    config = {"model_type": "gigaam", "version": version, "features_size": 64}
    (folder / "config.json").write_text(json.dumps({**config, "subsampling_factor": 4}))
