"""Every layout of folders that is known; a further one is a file here and a row in the list."""

from __future__ import annotations

from pathlib import Path

from quantkit.errors import InputError
from quantkit.exporting.folders.gigaam import GigaamCtc, GigaamTransducer
from quantkit.exporting.folders.icefall_transducer import IcefallTransducer
from quantkit.exporting.folders.layout import Layout
from quantkit.exporting.folders.nemo_ctc import NemoCtc
from quantkit.exporting.folders.nemo_transducer import NemoTransducer
from quantkit.exporting.folders.onnx_community import OnnxCommunity
from quantkit.exporting.folders.sherpa_moonshine import SherpaMoonshine
from quantkit.exporting.folders.sherpa_nemo import SherpaNemoTransducer
from quantkit.exporting.folders.sherpa_nemo_ctc import SherpaNemoCtc
from quantkit.exporting.folders.sherpa_whisper import SherpaWhisper
from quantkit.exporting.folders.streaming_ctc import SherpaStreamingCtc
from quantkit.graph.integrity import stored_checksum

#: Asked in this order.
LAYOUTS: tuple[Layout, ...] = (
    NemoTransducer(),
    NemoCtc(),
    SherpaNemoTransducer(),
    IcefallTransducer(),
    SherpaStreamingCtc(),
    SherpaNemoCtc(),
    OnnxCommunity(),
    SherpaWhisper(),
    SherpaMoonshine(),
    GigaamTransducer(),
    GigaamCtc(),
)


def layout_of(path: Path) -> Layout | None:
    """The layout of the folder at ``path``; None for a folder of another kind, and for files."""
    if not path.is_dir():
        return None
    return next((layout for layout in LAYOUTS if layout.matches(path)), None)


def refuse_part(path: Path) -> None:
    """Refuse one of several graphs of a published folder, which says nothing alone.

    Raises:
        InputError: ``path`` is one.
    """
    layout = layout_of(path.parent)
    if layout is None:
        return
    try:
        files = layout.files(path.parent)
    except InputError:
        # The folder itself is not whole.
        return
    # The first graph of a folder that quantkit wrote speaks for all of them.
    ours = path == files.main and stored_checksum(path)
    if len(files.graphs) > 1 and path in files.graphs and not ours:
        raise InputError(f"{path} is one of the files of {layout.name}: give its folder")
