"""A model of several graphs as one file, for what looks at all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantkit.disk.temporary import TemporaryFolder
from quantkit.graph.artifact import model_files, open_model
from quantkit.graph.external_data import with_external_data


@contextmanager
def single_file(path: Path) -> Iterator[Path]:
    """The model at ``path``, or, where it has several graphs, all joined in a temporary file.

    ::

        with single_file(Path("whisper.onnx")) as whole:
            create_session(whole)

    Raises:
        ModelError: it cannot be read, or one of its files is missing.
        OutputError: there is no room for the temporary file.
    """
    if len(model_files(path)) == 1:
        yield path
        return
    with TemporaryFolder("whole") as folder:
        whole = folder / path.name
        light = with_external_data(open_model(path, check=False), folder / "weights")
        whole.write_bytes(light.SerializeToString())
        yield whole
