"""What a job is made of, as digests: the same ingredients give the same name on any machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.disk.files import sha256_of
from quantkit.personalization.pipeline import PersonalizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.version import __version__

#: Part of every name; raise it when the same ingredients give another artifact than before.
JOB_VERSION = 1
#: Libraries that numbers of an artifact come from.
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "scipy")
_NAME_CHARACTERS = 32


def model_digest(prepared: PreparedModel) -> str:
    """SHA-256 of the float model: its graph with all numbers, and the file with its metadata."""
    return digest_of_json([prepared.sha256, prepared.graph_sha256((), ()), prepared.keep_interface])


def audio_digest(corpus: Corpus) -> str:
    """SHA-256 of the clips: their bytes, in order, and what else a model is told of them.

    Clips may be called anything, and lie anywhere. One that cannot be read counts as such.
    """
    found, files = hashlib.sha256(), dict[Path, str]()
    for clip in corpus:
        told = [clip.language, clip.needs_its_end, clip.excerpt.start, str(clip.excerpt.stop)]
        found.update(f"{_content(clip, files)} {json.dumps(told)}\n".encode())
    return found.hexdigest()


def settings_digest(settings: PersonalizeSettings) -> str:
    """SHA-256 of all settings by name."""
    return digest_of_json(_plain(settings))


@cache
def versions() -> Mapping[str, str]:
    """Of quantkit, and of the libraries that numbers come from."""
    found = {"quantkit": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # pragma: no cover - a build under another name
            found[name] = ""
    return found


def job_name(model: str, audio: str, budget_bytes: int, settings: str) -> str:
    """32 hexadecimal digits that stand for one artifact.

    Args:
        model, audio, settings: their digests.
    """
    ingredients = [JOB_VERSION, model, audio, budget_bytes, settings, dict(versions())]
    return digest_of_json(ingredients)[:_NAME_CHARACTERS]


def _content(clip: Utterance, files: dict[Path, str]) -> str:
    if clip.path is not None and clip.content is None:
        if clip.path not in files:
            try:
                files[clip.path] = sha256_of(clip.path)
            except OSError:
                files[clip.path] = "unreadable"
        return files[clip.path]
    if clip.content is not None:
        return hashlib.sha256(clip.content.read()).hexdigest()
    values = clip.features if clip.waveform is None else clip.waveform
    if values is None:
        return "nothing"
    shape = f"{values.shape} {clip.sample_rate} "
    return hashlib.sha256(shape.encode() + np.ascontiguousarray(values).tobytes()).hexdigest()


def _plain(value: Any) -> Any:
    """Dataclasses and what they hold as JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"is": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"settings hold a {type(value).__name__}, which has no name of its own")


def digest_of_json(content: Any) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
