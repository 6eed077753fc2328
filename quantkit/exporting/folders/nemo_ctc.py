"""NeMo's CTC models as onnx-asr opens them: ``model.onnx``, ``vocab.txt`` and ``config.json``.

The graph takes ``audio_signal`` (batch, bands, frames) and ``length`` and gives ``logprobs``; its
last label is the blank (onnx-asr 0.12, ``models/nemo.py``).
"""

from __future__ import annotations

from pathlib import Path

from quantkit.exporting.folders.found_graph import FoundGraph
from quantkit.exporting.folders.layout import (
    FolderFiles,
    Layout,
    graphs_called,
    optional,
    required,
)
from quantkit.exporting.parity import ParityReport
from quantkit.json_fields import Fields
from quantkit.models.pretrained_files import CONFIG_NAME, optional_json_object
from quantkit.tasks.names import CTC

#: Name of the graph without its ending, and of the labels.
STEM, VOCABULARY = "model", "vocab.txt"
_BANDS = 80


class NemoCtc(Layout):
    """CTC in one graph."""

    name = "a NeMo CTC model of onnx-asr"

    def matches(self, folder: Path) -> bool:
        return any(folder.glob("model*.onnx")) and (folder / VOCABULARY).is_file()

    def files(self, folder: Path) -> FolderFiles:
        graphs = graphs_called(folder, [STEM], self.name)
        return FolderFiles(graphs, optional(folder, VOCABULARY, CONFIG_NAME))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        from quantkit.exporting.adopt import adopt

        main = self.files(folder).main
        vocabulary = required(folder, [VOCABULARY], "what its labels are")
        graph = FoundGraph.of(main)
        config = Fields(optional_json_object(folder / CONFIG_NAME), str(folder / CONFIG_NAME))
        said = graph.size(graph.input("audio_signal"), 1)
        bands = said or config.whole("features_size", default=_BANDS)
        return adopt(main, destination, vocabulary, CTC, name=name, frontend=f"nemo-{bands}")
