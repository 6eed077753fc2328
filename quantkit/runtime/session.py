"""Open an ``.onnx`` in ONNX Runtime on the CPU."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

import onnxruntime

from quantkit.disk.reading import require_utf8
from quantkit.errors import FormatError, InputError, ModelError
from quantkit.graph.interface import interface_in
from quantkit.runtime.adapted_session import AdaptedSession
from quantkit.runtime.errors import in_one_line
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.parallel import core_limit

_LOG = logging.getLogger(__name__)

# What ONNX Runtime logs as an error it raises, too; the rest is for us, not for the user.
_LOG_FATAL_ONLY = 4

_OPSET_TOO_NEW = re.compile(r"Opset (\d+) is under .* for domain ai\.onnx is till opset (\d+)")
_IR_TOO_NEW = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")
_NO_KERNEL = "Could not find an implementation"


def create_session(path: Path, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the CPU provider with all graph optimisations.

    An artifact that has the inputs and outputs of somebody's model answers like any other; see
    :class:`~quantkit.runtime.adapted_session.AdaptedSession`.

    Args:
        path: the model.
        threads: threads inside one operator; 0 lets ONNX Runtime take all cores.

    Raises:
        ModelError: the file is missing, damaged, or not loadable by this ONNX Runtime.
        InputError: ``threads`` is negative, or the path is not UTF-8.
    """
    if threads < 0:
        raise InputError(f"threads must be 0 (all cores) or more, not {threads}")
    if not path.is_file():
        raise ModelError(f"cannot read model {path}: no such file")
    session = open_session(path, session_options(threads))
    # Unpacking weights leaves six times what the model needs to run, free and not given back.
    malloc_trim()
    try:
        interface = interface_in(session.get_modelmeta().custom_metadata_map)
    except FormatError as error:
        raise ModelError(f"{path}: its quantkit metadata is damaged: {error}") from error
    return AdaptedSession(session, interface) if interface and interface.kept else session


def session_options(
    threads: int = 1, *, prepack: bool = True, spin: bool = True
) -> onnxruntime.SessionOptions:
    """What every session of quantkit has in common; all graph optimisations are on by default.

    Args:
        threads: see :func:`create_session`; 0 is also kept to
            :func:`~quantkit.runtime.parallel.core_limit`.
        prepack: whether weights are laid out anew for the kernels, which takes their size again.
        spin: whether idle threads wait actively, which is faster and costs processor time.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or core_limit()
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL_ONLY
    # Allocators write to a log that is of no session.
    onnxruntime.set_default_logger_severity(_LOG_FATAL_ONLY)
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def open_session(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A session on the CPU provider with options of one's own.

    Raises:
        InputError: the path is not UTF-8.
        ModelError: the file is damaged or not loadable by this ONNX Runtime.
    """
    require_utf8(path)
    began = time.perf_counter()
    try:
        session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    # ONNX Runtime's exceptions share no base class but Exception.
    except Exception as error:
        raise ModelError(_explain(path, in_one_line(error), onnxruntime.__version__)) from error
    _LOG.debug("%s: opened in %.2f s", path, time.perf_counter() - began)
    return session


def _explain(path: Path, reason: str, version: str) -> str:
    """Why ``path`` does not load, and which ONNX Runtime loads it, where that is known.

    Args:
        reason: what ONNX Runtime says, in one line.
        version: of ONNX Runtime.
    """
    # Needs onnx, which must not be in memory while that is measured; a failure is not measured.
    from quantkit.runtime.targets import TARGETS, oldest_for

    if match := _OPSET_TOO_NEW.search(reason):
        needed, known = map(int, match.groups())
        able = next((release for release in TARGETS if release.opset >= needed), None)
        needs = f"operator set {needed}, and this ONNX Runtime {version} knows {known}"
    elif match := _IR_TOO_NEW.search(reason):
        needed, known = map(int, match.groups())
        able = next((release for release in TARGETS if release.ir_version >= needed), None)
        needs = f"ONNX IR version {needed}, and this ONNX Runtime {version} knows {known}"
    else:
        import onnx

        able = None
        if _NO_KERNEL in reason:
            able = oldest_for(onnx.load(str(path), load_external_data=False))
        if able is None or _number(able.version) <= _number(version):
            return f"{path} does not load in ONNX Runtime {version}: {reason}"
        needs = f"operators or types that this ONNX Runtime {version} does not run"
    wanted = f"onnxruntime >= {able.version}" if able else "a newer one"
    return f"{path} needs {needs}: use {wanted}, or make the model for an older one"


def _number(version: str) -> tuple[int, ...]:
    """Major and minor number of a version such as ``1.17`` or ``1.31.1``."""
    return tuple(int(part) for part in version.split(".")[:2])
