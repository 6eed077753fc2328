"""The graph that ONNX Runtime runs after all its optimisations.

Beside :mod:`quantkit.runtime.session` and not in it, because that opens models without the
``onnx`` package, whose memory would be counted where memory is measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import ModelError, OutputError
from quantkit.graph.single_file import single_file
from quantkit.runtime.session import open_session, session_options

# What ONNX Runtime puts before the name of a node that does an activation function, too.
_PREFIX = "fused "
# What ONNX Runtime and its quantizer put behind a node's name when they replace it.
_SUFFIX = re.compile(
    r"(_token_\d+|_quant|_nhwc|_nchwc|_transformed|/MatMulAddFusion.*|_Gemm|_fused|/duplicated.*)+$"
)


def name_before_fusion(name: str) -> str:
    """The name in the file of the node that became the optimised graph's node ``name``.

    >>> name_before_fusion("layer1.conv_token_7_nhwc")
    'layer1.conv'
    """
    return _SUFFIX.sub("", name.removeprefix(_PREFIX))


def optimised_graph(path: Path) -> onnx.GraphProto:
    """Load ``path`` in ONNX Runtime and read the graph that it would run.

    The values of large constants are left out; their types and shapes are there.

    Raises:
        ModelError: ONNX Runtime does not load the file, or cannot save what it made of it.
        OutputError: no room for temporary files.
    """
    with optimised_file(path) as written:
        return onnx.load(str(written), load_external_data=False).graph


@contextmanager
def optimised_file(path: Path) -> Iterator[Path]:
    """A temporary ``.onnx`` of the graph that ONNX Runtime would run.

    Large constants lie in a second file beside it.

    Raises:
        ModelError, OutputError: see :func:`optimised_graph`.
    """
    with TemporaryFolder("optimised") as folder:
        written = folder / "optimised.onnx"
        # Nothing is run, so packing the weights for the kernels would be wasted.
        options = session_options(prepack=False)
        options.optimized_model_filepath = str(written)
        # In a second file, which most never read: this also works beyond 2 GB.
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", "weights.bin"
        )
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", "1024"
        )
        try:
            with single_file(path) as whole:
                open_session(whole, options)
        except ModelError as error:
            # If it names the file that it writes, the disk is to blame and not the model.
            if str(folder) in str(error):
                raise OutputError(
                    f"cannot write temporary files to {folder.parent}; make room, or let TMPDIR "
                    "name another folder"
                ) from error
            raise
        yield written
