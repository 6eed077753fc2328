"""What the metadata of sherpa-onnx's graphs say."""

from __future__ import annotations

from quantkit.exporting.folders.found_graph import FoundGraph


def is_gigaam(graph: FoundGraph) -> bool:
    """Whether sherpa-onnx makes features as GigaAM hears them."""
    return graph.metadata.get("is_giga_am", "0") not in ("", "0")
