"""OpenVINO with NNCF, the best-known other way to int8 on processors: made, run and timed.

Both come with the extra ``peers``. Studies leave it out, and say so, where they are missing.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime

Feed = Mapping[str, npt.NDArray[Any]]


def available() -> bool:
    """Whether OpenVINO and NNCF are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("openvino", "nncf"))


def quantize(source: Path, target: Path, feeds: Sequence[Feed], *, transformer: bool) -> Path:
    """What ``nncf.quantize`` makes of a float model by default.

    Args:
        source: an ``.onnx``.
        target: an ``.xml``; the weights go beside it.
        feeds: inputs to calibrate on.
        transformer: whether NNCF is told that it is one.
    """
    import nncf
    import openvino

    logging.getLogger("nncf").setLevel(logging.ERROR)
    quantized = nncf.quantize(
        openvino.Core().read_model(source),
        nncf.Dataset(list(feeds)),
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
    )
    openvino.save_model(quantized, target)
    return target


def size(path: Path) -> int:
    """Bytes of a model on disk."""
    beside = path.with_suffix(".bin")
    return path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)


class PeerSession:
    """A :class:`Peer` that is run as a session of ONNX Runtime is.

    Args:
        plain: a session of the float model, which knows inputs and outputs.
    """

    def __init__(self, peer: Peer, plain: onnxruntime.InferenceSession) -> None:
        self.peer, self.plain = peer, plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def run(self, names: Sequence[str] | None, feed: Feed) -> list[npt.NDArray[Any]]:
        """As :meth:`onnxruntime.InferenceSession.run`."""
        wanted = [each.name for each in self.plain.get_outputs()] if names is None else names
        return self.peer.named(wanted, feed)


class Peer:
    """A model in OpenVINO.

    Args:
        path: an ``.xml``, or an ``.onnx``.
        threads: that it may take.
        profile: whether :meth:`layers` is asked for; that takes time in each run.
    """

    def __init__(self, path: Path, *, threads: int = 1, profile: bool = False) -> None:
        import openvino

        core = openvino.Core()
        self._compiled = core.compile_model(
            core.read_model(path),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                # By itself it takes bfloat16 where the processor has it.
                "INFERENCE_PRECISION_HINT": "f32",
                "PERF_COUNT": profile,
            },
        )
        self._request = self._compiled.create_infer_request()

    def run(self, feed: Feed) -> npt.NDArray[Any]:
        """The first output."""
        result: npt.NDArray[Any] = self._request.infer(dict(feed))[0].copy()
        return result

    def named(self, names: Sequence[str], feed: Feed) -> list[npt.NDArray[Any]]:
        """Outputs by their names."""
        found = self._request.infer(dict(feed))
        return [found[name].copy() for name in names]

    def layers(self) -> dict[tuple[str, ...], float]:
        """Milliseconds of each node of the graph that ran last, by the names that it had before."""
        found: dict[tuple[str, ...], float] = {}
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            info = node.get_rt_info()
            taken = str(info["execTimeMcs"].value) if "execTimeMcs" in info else ""
            if taken.isdecimal():
                names = str(info["originalLayersNames"].value) or str(node.get_friendly_name())
                key = tuple(names.split(","))
                found[key] = found.get(key, 0.0) + int(taken) / 1_000
        return found
