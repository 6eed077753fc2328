"""Every layout of folders that is known; a further one is a file here and a row in the list."""

from __future__ import annotations

from pathlib import Path

from quantkit.exporting.folders.layout import Layout
from quantkit.exporting.folders.nemo_transducer import NemoTransducer
from quantkit.exporting.folders.onnx_community import OnnxCommunity

#: Asked in this order.
LAYOUTS: tuple[Layout, ...] = (NemoTransducer(), OnnxCommunity())


def layout_of(path: Path) -> Layout | None:
    """The layout of the folder at ``path``; None for a folder of another kind, and for files."""
    if not path.is_dir() or not any(path.glob("*.onnx")):
        return None
    return next((layout for layout in LAYOUTS if layout.matches(path)), None)
