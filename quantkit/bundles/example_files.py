"""The examples of a bundle that are not Python: files of ``samples/`` that fit its kind."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from quantkit.bundles.cpp_example import labels_header
from quantkit.disk.files import write_json, write_text
from quantkit.tasks.names import ASG, CTC, MOONSHINE, WHISPER
from quantkit.text.labels import Labels

#: Of Node; it and the page share what lies in ``js/``.
NODE = "example.mjs"
#: A page for browsers, served with the bundle's folder around it.
PAGE = "web/index.html"
#: Of C++, for CTC; its header has the labels.
CPP, _CPP_LABELS = "example.cpp", "example_labels.h"
_SAMPLES = files("quantkit.bundles") / "samples"
#: What recognises by kind is written under one name, so that no program needs to know the kind.
_RECOGNISE, _COMMON, _TOKENS = "js/recognise.mjs", "js/common.mjs", "js/tokens.mjs"
_BESIDE_PAGE = ("web/page.mjs", "web/worker.mjs")
# What a page cannot find out by itself.
_ABOUT = "web/about.json"
_WRITES_TOKENS = frozenset((MOONSHINE, WHISPER))


def are_there(kind: str) -> bool:
    """Whether there are examples for models of several graphs of this ``kind``, or of one graph."""
    return not kind or _SAMPLES.joinpath(_sample_of(kind)).is_file()


def _sample_of(recognises: str) -> str:
    return f"js/{recognises}.mjs"


def write_examples(folder: Path, name: str, kind: str, labels: Labels, rate: int) -> None:
    """Write the examples for a model; for one that hears in chunks there are none.

    Args:
        folder: the bundle, with its model.
        name: for people.
        kind: of several graphs, as ``decoding.json`` has it; empty for one.
        labels: of the model.
        rate: of its audio, hertz.
    """
    if not are_there(kind):
        return
    for below in ("js", "web"):
        (folder / below).mkdir()
    recognises = kind or (CTC if labels.asg is None else ASG)
    wanted = {NODE: NODE, _COMMON: _COMMON, _RECOGNISE: _sample_of(recognises)}
    wanted |= {name: name for name in (PAGE, *_BESIDE_PAGE)}
    if kind in _WRITES_TOKENS:
        wanted[_TOKENS] = _TOKENS
    if recognises == CTC:
        wanted[CPP] = CPP
        write_text(folder / _CPP_LABELS, labels_header(labels, rate))
    for path, sample in wanted.items():
        write_text(folder / path, _SAMPLES.joinpath(sample).read_text(encoding="utf-8"))
    external = sorted(file.name for file in folder.glob("*.onnx.data"))
    write_json(folder / _ABOUT, {"name": name, "external": external})
