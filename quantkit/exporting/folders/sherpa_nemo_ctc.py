"""NeMo's CTC models as sherpa-onnx opens them, and GigaAM's: one graph and ``tokens.txt``.

The graph takes features (batch, bands, frames) and their numbers, by whatever names, and gives
log-probabilities; its metadata have ``vocab_size``, ``subsampling_factor``, ``normalize_type``,
which is empty where nothing is normalised, and ``is_giga_am`` (sherpa-onnx 2.0,
``offline-nemo-enc-dec-ctc-model.cc``, ``scripts/nemo/GigaAM/export-onnx-ctc-v2.py``). The blank is
called ``<blk>``.
"""

from __future__ import annotations

from pathlib import Path

from quantkit.errors import ModelError
from quantkit.exporting.folders.found_graph import FoundGraph
from quantkit.exporting.folders.layout import (
    FolderFiles,
    Layout,
    graphs_called,
    optional,
    suffixes_of,
)
from quantkit.exporting.folders.metadata import is_gigaam
from quantkit.exporting.parity import ParityReport
from quantkit.graph.model_file import read_model_file
from quantkit.tasks.names import CTC

_STEM = "model"
#: Name of the labels.
VOCABULARY = "tokens.txt"
_SAID = ("vocab_size", "subsampling_factor")
_BANDS = 80


class SherpaNemoCtc(Layout):
    """CTC in one graph, with metadata."""

    name = "a NeMo CTC model of sherpa-onnx"

    def matches(self, folder: Path) -> bool:
        found = suffixes_of(folder, _STEM)
        if not found or not (folder / VOCABULARY).is_file():
            return False
        path = folder / f"{_STEM}{found[0]}.onnx"
        if not path.is_file():
            return False
        # Only the metadata tell it from other graphs of this name.
        try:
            entries = {entry.key for entry in read_model_file(path).model.metadata_props}
        except ModelError:
            return False
        return entries.issuperset(_SAID)

    def files(self, folder: Path) -> FolderFiles:
        graphs = graphs_called(folder, [_STEM], self.name)
        return FolderFiles(graphs, optional(folder, VOCABULARY))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        from quantkit.exporting.adopt import adopt

        main = self.files(folder).main
        graph = FoundGraph.of(main)
        if is_gigaam(graph):
            frontend = "gigaam-sherpa"
        elif (kind := graph.metadata.get("normalize_type", "")) == "per_feature":
            bands = graph.size(graph.inputs[0], 1) if graph.inputs else None
            frontend = f"nemo-sherpa-{bands or _BANDS}"
        else:
            raise ModelError(
                f"{main} wants features that are normalised as {kind or 'nothing'}, and only "
                "per_feature is known"
            )
        return adopt(main, destination, folder / VOCABULARY, CTC, name=name, frontend=frontend)
