"""Digest of a graph, independent of the file it comes from."""

from __future__ import annotations

import hashlib

import onnx

from quantkit.graph.tensors import embed


def graph_digest(model: onnx.ModelProto) -> str:
    """SHA-256 of all that decides what ``model`` computes; metadata and doc strings do not."""
    digest = hashlib.sha256()
    graph = model.graph
    for messages in (
        model.opset_import,
        model.functions,
        graph.input,
        graph.output,
        graph.node,
        graph.sparse_initializer,
    ):
        for message in messages:
            digest.update(message.SerializeToString(deterministic=True))
    for tensor in graph.initializer:
        whole = onnx.TensorProto()
        whole.CopyFrom(tensor)
        embed([whole])
        digest.update(whole.SerializeToString(deterministic=True))
    return digest.hexdigest()
