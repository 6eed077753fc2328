"""The examples of a bundle that are not Python: files of ``samples/`` that fit its kind."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from quantkit.bundles.cpp_example import labels_header
from quantkit.bundles.manifest import DECODING, FRONTEND
from quantkit.disk.files import write_json, write_text
from quantkit.disk.reading import read_bytes
from quantkit.json_fields import parse_json
from quantkit.tasks.names import (
    ASG,
    CANARY,
    CLASSIFICATION,
    CTC,
    MOONSHINE,
    STREAMING_CTC,
    STREAMING_TRANSDUCER,
    TRANSDUCER,
    WHISPER,
)
from quantkit.text.labels import Labels

#: Of Node; it and the page share what lies in ``js/``.
NODE = "example.mjs"
#: A page for browsers, served with the bundle's folder around it.
PAGE = "web/index.html"
#: Of C++; its header has what the other examples read from JSON.
CPP, _CPP_LABELS = "example.cpp", "example_labels.h"
_SAMPLES = files("quantkit.bundles") / "samples"
_BESIDE_PAGE = ("web/page.mjs", "web/worker.mjs")
# What a page cannot find out by itself.
_ABOUT = "web/about.json"
# What recognises by kind is written under one name, so that no program needs to know the kind;
# further files that it needs.
_RECOGNISE = "js/recognise.mjs"
_ALSO = {
    MOONSHINE: ("tokens", "texts"),
    CANARY: ("tokens", "texts"),
    WHISPER: ("tokens",),
    TRANSDUCER: ("labels",),
    STREAMING_CTC: ("chunks",),
    STREAMING_TRANSDUCER: ("labels", "chunks"),
}
# The same in C++, which hears whole clips.
_CPP_RECOGNISE = "cpp/recognise.h"
_IN_CPP = (CTC, ASG, CLASSIFICATION, TRANSDUCER, MOONSHINE, CANARY, WHISPER)
_CPP_SHARED = ("tokens", "texts")


def is_in_cpp(recognises: str) -> bool:
    """Whether there is an example in C++ for a kind in ``decoding.json``, or for CTC or ASG."""
    return recognises in _IN_CPP


def write_examples(folder: Path, name: str, kind: str, labels: Labels, rate: int) -> None:
    """Write the examples for a model.

    Args:
        folder: the bundle, with its model and the JSON beside it.
        name: for people.
        kind: as ``decoding.json`` has it; empty for CTC and ASG.
        labels: of the model.
        rate: of its audio, hertz.
    """
    for below in ("js", "web"):
        (folder / below).mkdir()
    recognises = kind or (CTC if labels.asg is None else ASG)
    also = _ALSO.get(recognises, ())
    wanted = {NODE: NODE, _RECOGNISE: f"js/{recognises}.mjs"}
    wanted |= {each: each for each in (PAGE, *_BESIDE_PAGE)}
    wanted |= {f"js/{each}.mjs": f"js/{each}.mjs" for each in ("common", *also)}
    if is_in_cpp(recognises):
        (folder / "cpp").mkdir()
        wanted |= {CPP: "cpp/example.cpp", _CPP_RECOGNISE: f"cpp/{recognises}.h"}
        beside = ("common", *(each for each in also if each in _CPP_SHARED))
        wanted |= {f"cpp/{each}.h": f"cpp/{each}.h" for each in beside}
        decoding = _said(folder / DECODING) if kind else None
        header = labels_header(labels, rate, decoding, _said(folder / FRONTEND))
        write_text(folder / _CPP_LABELS, header)
    for path, sample in wanted.items():
        write_text(folder / path, _SAMPLES.joinpath(sample).read_text(encoding="utf-8"))
    external = sorted(file.name for file in folder.glob("*.onnx.data"))
    write_json(folder / _ABOUT, {"name": name, "external": external})


def _said(path: Path) -> Any:
    return parse_json(read_bytes(path), str(path))
