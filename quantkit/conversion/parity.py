"""Does a converted graph give the numbers of the file that it was made of?"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from quantkit.arrays import Array
from quantkit.conversion.convert import Conversion
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import ModelError, ParityError
from quantkit.graph.external_data import with_external_data
from quantkit.runtime.session import open_session, session_options

_LOG = logging.getLogger(__name__)

# Sizes that stand for every axis of a free length but the first, which is the batch.
_LENGTHS = (16_000, 9_999, 1_600, 100)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_LOG_NOTHING = 4


def check_conversion(source: Path, model: onnx.ModelProto, conversion: Conversion) -> None:
    """Compare ``model`` with the file at ``source`` on noise and on silence of several lengths.

    Where ONNX Runtime does not run the original on such inputs, there is nothing to compare with,
    and a line of the log says so.

    Raises:
        ParityError: they differ by more than the tolerance of ``conversion``.
        ModelError: the converted graph does not load.
    """
    if not conversion.steps:
        return
    try:
        expected = list(_answers(_session(source), model.graph))
    except ModelError as error:
        _LOG.warning("%s: the original does not run, so nothing was compared: %s", source, error)
        return
    if not expected:
        _LOG.warning("%s: it runs on no input of noise, so nothing was compared", source)
        return
    worst = 0.0
    with runnable(model) as path:
        session = _session(path)
        for feed, before in expected:
            after = _run(session, feed)
            worst = max(worst, *(difference(a, b) for a, b in zip(before, after, strict=True)))
    if worst > conversion.tolerance:
        raise ParityError(
            f"{source}: {'; '.join(conversion.steps)}, and the result differs from the original by "
            f"{worst:.3g}, beyond the tolerance of {conversion.tolerance:g}; export it anew"
        )


@contextmanager
def runnable(model: onnx.ModelProto) -> Iterator[Path]:
    """``model`` as a file for as long as the block lasts; weights that it left in one are copied.

    Raises:
        OutputError: there is no room for it.
    """
    with TemporaryFolder("converted") as folder:
        path = folder / "converted.onnx"
        light = with_external_data(model, folder / "weights")
        path.write_bytes(light.SerializeToString())
        yield path


@contextmanager
def runs_as(source: Path, model: onnx.ModelProto, conversion: Conversion) -> Iterator[Path]:
    """The file to compare with: ``source`` itself, or ``model`` where ONNX Runtime cannot run it.

    It has hardly any kernels for bfloat16, for example.

    Raises:
        ModelError: it runs neither.
        OutputError: there is no room for a file of ``model``.
    """
    try:
        if conversion.steps:
            _session(source)
    except ModelError as error:
        with runnable(model) as path:
            try:
                _session(path)
            except ModelError:
                raise error from None
            _LOG.warning("%s; the converted graph is compared with instead", error)
            yield path
        return
    yield source


def difference(expected: Array, found: Array) -> float:
    """The largest |a − b| / max(1, |a|); where both are alike, as two infinities are, it is 0."""
    if expected.shape != found.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    before, after = expected.astype(np.float64), found.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(before - after) / np.maximum(1.0, np.abs(before))
    alike = (before == after) | (np.isnan(before) & np.isnan(after))
    apart = np.where(alike, 0.0, np.where(np.isfinite(apart), apart, np.inf))
    return float(apart.max())


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = session_options(threads=0)
    # Inputs are tried that the model may not take.
    options.log_severity_level = _LOG_NOTHING
    return open_session(path, options)


def _answers(
    session: onnxruntime.InferenceSession, graph: onnx.GraphProto
) -> Iterator[tuple[Mapping[str, Array], list[Array]]]:
    """Inputs that the model takes, and what it makes of them."""
    for length in _LENGTHS:
        for loud in (True, False):
            feed = _feed(graph, length, loud)
            try:
                yield feed, _run(session, feed)
            # ONNX Runtime's exceptions share no base class but Exception.
            except Exception as error:
                _LOG.debug("length %d is not taken: %s", length, error)


def _run(session: onnxruntime.InferenceSession, feed: Mapping[str, Array]) -> list[Array]:
    found = session.run(None, feed)
    return [np.asarray(each) for each in found if isinstance(each, np.ndarray | np.generic)]


def _feed(graph: onnx.GraphProto, length: int, loud: bool) -> dict[str, Array]:
    generator = np.random.default_rng(0)
    constants = {tensor.name for tensor in graph.initializer}
    feed: dict[str, Array] = {}
    for value in graph.input:
        if value.name in constants:
            continue
        tensor = value.type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim]
        shape = [
            size or (1 if axis == 0 and len(dims) > 1 else length) for axis, size in enumerate(dims)
        ]
        kind = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if tensor.elem_type in _FLOATS:
            noise = 0.1 * generator.standard_normal(shape) if loud else np.zeros(shape)
            feed[value.name] = noise.astype(kind)
        elif len(dims) < 2:
            # As many as there are steps: so lengths are given.
            feed[value.name] = np.full([size or 1 for size in dims], length).astype(kind)
        else:
            feed[value.name] = np.ones(shape, kind)
    return feed
