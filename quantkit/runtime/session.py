"""Open an ``.onnx`` in ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from quantkit.errors import InputError, ModelError

# Warnings about unused initializers and the like are for us, not for the user: errors only.
_LOG_ERRORS_ONLY = 3


def create_session(path: Path, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the CPU provider with all graph optimisations.

    Args:
        path: the model.
        threads: threads inside one operator; 0 lets ONNX Runtime take all cores.

    Raises:
        ModelError: the file is missing, damaged, or not loadable by this ONNX Runtime.
        InputError: ``threads`` is negative.
    """
    if threads < 0:
        raise InputError(f"threads must be 0 (all cores) or more, not {threads}")
    if not path.is_file():
        raise ModelError(f"cannot read model {path}: no such file")
    return open_session(path, session_options(threads))


def session_options(threads: int = 1) -> onnxruntime.SessionOptions:
    """What every session of quantkit has in common; all graph optimisations are on by default."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS_ONLY
    return options


def open_session(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A session on the CPU provider with options of one's own.

    Raises:
        ModelError: the file is damaged or not loadable by this ONNX Runtime.
    """
    try:
        return onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    # ONNX Runtime's exceptions share no base class but Exception.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{path} does not load in ONNX Runtime {onnxruntime.__version__}: {reason}"
        ) from error
