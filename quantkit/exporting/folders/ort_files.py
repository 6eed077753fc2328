"""Folders of graphs in ONNX Runtime's own format: sherpa-onnx publishes some Moonshines so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantkit.conversion.ort_format import SUFFIX, write_as_onnx
from quantkit.disk.temporary import TemporaryFolder
from quantkit.exporting.folders.layout import Layout


@contextmanager
def with_onnx_files(folder: Path, layout: Layout) -> Iterator[Path]:
    """``folder``, or where its graphs are ``.ort`` a copy in which they are ``.onnx``.

    Raises:
        InputError: a file is missing.
        ModelError: ONNX Runtime does not read a graph.
    """
    files = layout.files(folder)
    if not any(file.suffix == SUFFIX for file in files.graphs):
        yield folder
        return
    with TemporaryFolder("ort") as scratch:
        copy = scratch / folder.name
        for file in (*files.graphs, *files.others):
            place = copy / file.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == SUFFIX:
                write_as_onnx(file, place.with_suffix(".onnx"))
            else:
                shutil.copyfile(file, place)
        yield copy
