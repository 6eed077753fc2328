"""A model of two files that is worked on as one graph: an encoder, and a decoder that is run again
for each token.

The whole graph computes everything from the audio and the tokens in one run, so one analysis, one
plan and one quantization serve both. It is cut where a value that is called ``cross.*`` goes from
the encoder to the decoder. The file of the encoder is the artifact, with all metadata; that of the
decoder lies beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx

from quantkit.errors import ModelError
from quantkit.graph.part_names import CROSSING, DECODER_KEY

_SUFFIX = ".decoder.onnx"


def decoder_beside(path: Path) -> Path:
    """Where the decoder of the artifact at ``path`` is written.

    >>> decoder_beside(Path("models/base.onnx")).name
    'base.decoder.onnx'
    """
    return path.with_name(path.name.removesuffix(".onnx") + _SUFFIX)


def decoder_name(model: onnx.ModelProto) -> str:
    """File name of its decoder; empty for a model of one file."""
    return next((e.value for e in model.metadata_props if e.key == DECODER_KEY), "")


def set_decoder_name(model: onnx.ModelProto, name: str) -> None:
    """Let ``model`` be the encoder of the decoder in the file ``name``."""
    for entry in model.metadata_props:
        if entry.key == DECODER_KEY:
            entry.value = name
            return
    model.metadata_props.add(key=DECODER_KEY, value=name)


def join(encoder: onnx.ModelProto, decoder: onnx.ModelProto) -> onnx.ModelProto:
    """The whole graph; ``encoder`` becomes it, and its metadata stay.

    Raises:
        ModelError: the two do not belong together.
    """
    graph = encoder.graph
    crossing = {value.name: value for value in graph.output if value.name.startswith(CROSSING)}
    wanted = {v.name for v in decoder.graph.input if v.name.startswith(CROSSING)}
    if not crossing or wanted != crossing.keys():
        raise ModelError("the encoder does not make what the decoder reads: they are of two models")
    graph.node.extend(decoder.graph.node)
    known = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(t for t in decoder.graph.initializer if t.name not in known)
    graph.input.extend(v for v in decoder.graph.input if v.name not in crossing)
    del graph.output[:]
    # What the model is for comes first.
    graph.output.extend([*decoder.graph.output, *crossing.values()])
    ours = {opset.domain: opset for opset in encoder.opset_import}
    for opset in decoder.opset_import:
        if opset.domain not in ours:
            encoder.opset_import.append(opset)
        elif ours[opset.domain].version != opset.version:
            raise ModelError("encoder and decoder have different operator sets")
    return encoder


def repeated_nodes(whole: onnx.ModelProto) -> frozenset[str]:
    """Names of the nodes that are run again for each token: the decoder's.

    Empty for a model of one file.
    """
    if not any(value.name.startswith(CROSSING) for value in whole.graph.output):
        return frozenset()
    _, decoder = split(whole)
    return frozenset(node.name for node in decoder.graph.node)


def split(whole: onnx.ModelProto) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Encoder and decoder of the whole graph, which is not changed.

    The encoder has the metadata. A small constant that both read is in both.

    Raises:
        ModelError: nothing crosses from one to the other.
    """
    crossing = [value for value in whole.graph.output if value.name.startswith(CROSSING)]
    if not crossing:
        raise ModelError(f"the graph cannot be cut: no output of it is called {CROSSING}…")
    others = [value for value in whole.graph.output if not value.name.startswith(CROSSING)]
    names = {value.name for value in crossing}
    encoder = _part(whole, crossing, set())
    decoder = _part(whole, others, names)
    encoder.metadata_props.extend(whole.metadata_props)
    decoder.graph.input.extend(crossing)
    return encoder, decoder


def _part(
    whole: onnx.ModelProto, outputs: Iterable[onnx.ValueInfoProto], given: set[str]
) -> onnx.ModelProto:
    """What ``outputs`` are computed with when ``given`` is there already."""
    producers = {name: node for node in whole.graph.node for name in node.output}
    needed = {value.name for value in outputs}
    pending = [*needed]
    while pending:
        maker = None if (value := pending.pop()) in given else producers.get(value)
        for name in () if maker is None else maker.input:
            if name not in needed:
                needed.add(name)
                pending.append(name)
    part = onnx.ModelProto(
        ir_version=whole.ir_version,
        producer_name=whole.producer_name,
        producer_version=whole.producer_version,
        opset_import=whole.opset_import,
    )
    graph = part.graph
    graph.name = whole.graph.name
    graph.node.extend(
        node
        for node in whole.graph.node
        if any(name in needed and name not in given for name in node.output)
    )
    graph.initializer.extend(t for t in whole.graph.initializer if t.name in needed)
    graph.input.extend(v for v in whole.graph.input if v.name in needed)
    graph.output.extend(outputs)
    return part
