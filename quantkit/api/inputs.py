"""What the verbs take: paths, clips in any form, models in any form, and sizes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quantkit.api.begin import Begin, nothing
from quantkit.audio.corpora import is_table, open_corpus
from quantkit.audio.decode import audio_seconds
from quantkit.audio.samples import mono_waveform, require_length, require_rate
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import CorpusError, InputError
from quantkit.models.hub_names import is_hub_name
from quantkit.planning.budget import parse_budget
from quantkit.text.decoding import WHOLE, checked_window

#: A path, or its name.
PathLike: TypeAlias = str | os.PathLike[str]
#: One clip: a file, or its samples.
Clip: TypeAlias = PathLike | npt.NDArray[Any]
#: Clips: a folder of any layout, a file, a corpus, samples, or a list of files and samples.
Audio: TypeAlias = Clip | Corpus | Sequence[Clip]
#: ``"3MB"``, or bytes.
Budget: TypeAlias = str | int

#: Seconds of a chunk where nobody says how many.
USUAL_CHUNK = 0.32
_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s)")

# What a checkpoint's file may end in; any other file is taken for an ``.onnx``.
_CHECKPOINTS = frozenset({".pt", ".pth", ".bin", ".safetensors"})


def path_of(path: PathLike, what: str) -> Path:
    """``path`` as a :class:`~pathlib.Path`.

    Args:
        what: names it in the message.

    Raises:
        InputError: something that is no path, or an empty one.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"{what} must be a path, not {type(path).__name__}")
    if not os.fspath(path):
        raise InputError(f"{what} is empty; give a path")
    return Path(path)


def optional_path(path: PathLike | None, what: str) -> Path | None:
    """As :func:`path_of`; None stays None."""
    return None if path is None else path_of(path, what)


def budget_bytes(budget: Budget) -> int:
    """The bytes that ``budget`` means.

    >>> budget_bytes("2.5MB"), budget_bytes(2_500_000)
    (2500000, 2500000)

    Raises:
        InputError: no size, or less than one byte.
    """
    if isinstance(budget, str):
        return parse_budget(budget)
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer):
        raise InputError(
            f"a budget is a text such as '3MB' or a whole number of bytes, not {budget!r}"
        )
    if budget < 1:
        raise InputError(f"a budget of {budget} bytes is less than one byte")
    return int(budget)


def window_seconds(said: str) -> float | None:
    """Seconds of silence behind a clip that a window holds; None where that is left open.

    >>> window_seconds("auto"), window_seconds("full"), window_seconds("0.5")
    (None, inf, 0.5)

    Raises:
        InputError: neither ``auto`` nor ``full`` nor a number of seconds.
    """
    if said in ("auto", "full"):
        return None if said == "auto" else WHOLE
    try:
        return checked_window(float(said))
    except ValueError as error:
        raise InputError(
            f"--window is auto, full, or seconds of silence behind a clip, not {said!r}"
        ) from error


def chunk_seconds(streaming: bool, said: str | None) -> float | None:
    """Seconds of a chunk; None for a model of whole clips.

    >>> chunk_seconds(True, "160ms"), chunk_seconds(True, None), chunk_seconds(False, None)
    (0.16, 0.32, None)

    Args:
        streaming: whether it hears in chunks.
        said: how long one is; None: that is left open.

    Raises:
        InputError: no time, or one for a model of whole clips.
    """
    if not streaming:
        if said is not None:
            raise InputError("--chunk is for a model that hears in chunks: add --streaming")
        return None
    if said is None:
        return USUAL_CHUNK
    found = _TIME.fullmatch(said.strip())
    if found is None:
        raise InputError(f"--chunk is a time such as 320ms or 0.32s, not {said!r}")
    return float(found[1]) * (1e-3 if found[2] == "ms" else 1.0)


def corpus_of(audio: Audio, sample_rate: float | None = None) -> Corpus:
    """``audio`` as a corpus.

    Args:
        audio: a folder in any layout that :func:`~quantkit.audio.corpora.open_corpus` knows, a
            file, a corpus, an array of samples, or a list of files and arrays; see
            :func:`~quantkit.audio.samples.mono_waveform` for arrays.
        sample_rate: of the arrays, in hertz; a file says its own.

    Raises:
        AudioError: a file or an array that cannot be used.
        CorpusError: the folder is no corpus, or the list is empty.
        InputError: arrays without a sample rate, a sample rate without arrays, or something else
            that is no audio.
    """
    if isinstance(audio, Corpus):
        _refuse_rate(sample_rate, "a corpus")
        return audio
    if isinstance(audio, str | os.PathLike):
        path = path_of(audio, "the audio")
        if not path.is_file() or is_table(path):
            _refuse_rate(sample_rate, "a folder")
            return open_corpus(path)
    clips = _listed(audio)
    if not clips:
        raise CorpusError("the list of clips is empty; give at least one")
    utterances = (_timed(clip) for clip in utterances_of(clips, sample_rate))
    return Corpus("the clips", tuple(utterances))


def utterances_of(clips: Sequence[Clip], sample_rate: float | None) -> Iterator[Utterance]:
    """Each clip of a list; arrays are checked, files are not opened yet.

    Args:
        sample_rate: of the arrays, in hertz.

    Raises:
        AudioError: an array that cannot be used.
        InputError: see :func:`corpus_of`.
    """
    if not any(isinstance(clip, np.ndarray) for clip in clips):
        _refuse_rate(sample_rate, "a file")
    for number, clip in enumerate(clips, 1):
        yield _utterance(clip, sample_rate, f"clip {number}" if len(clips) > 1 else "the clip")


def _timed(utterance: Utterance) -> Utterance:
    """With its duration, which also shows that the file can be read."""
    if utterance.path is None:
        return utterance
    return replace(utterance, seconds=audio_seconds(utterance.path, complete=False))


def _utterance(clip: Clip, sample_rate: float | None, name: str) -> Utterance:
    if isinstance(clip, str | os.PathLike):
        path = path_of(clip, "a clip")
        return Utterance(path, name=str(path))
    if not isinstance(clip, np.ndarray):
        raise InputError(
            f"{name} is neither a path nor an array but a {type(clip).__name__}; numpy.asarray() "
            "makes an array of samples"
        )
    rate = require_rate(sample_rate)
    waveform = mono_waveform(clip, name)
    require_length(waveform, rate, name)
    return Utterance(
        None, name=name, seconds=waveform.size / rate, waveform=waveform, sample_rate=rate
    )


def _listed(audio: Any) -> list[Any]:
    if isinstance(audio, str | os.PathLike | np.ndarray):
        return [audio]
    if isinstance(audio, Sequence):
        return list(audio)
    raise InputError(
        f"audio is a folder, a file, a Corpus, an array or a list of them, not "
        f"{type(audio).__name__}"
    )


def _refuse_rate(sample_rate: float | None, what: str) -> None:
    if sample_rate is not None:
        raise InputError(f"sample_rate is for arrays of samples: {what} says its own")


@contextmanager
def float_model(model: PathLike, begin: Begin = nothing) -> Iterator[Path]:
    """The ``.onnx`` of ``model``; what is none yet is exported for as long as the block lasts.

    Args:
        model: an ``.onnx``; or a checkpoint, a folder of transformers, a published folder or a name
            on the hub, as :func:`quantkit.export` takes them.
        begin: see :data:`~quantkit.api.begin.Begin`; an export is work already.

    Raises:
        InputError: it is neither.
        QuantkitError: see :func:`quantkit.export`.
    """
    path = path_of(model, "the model")
    if (own := own_folder(path)) is not None:
        yield own
        return
    if not _is_source(path, os.fspath(model)):
        yield path
        return
    from quantkit.exporting.sources import ExportOptions, export_source

    begin(f"export {path}, and go on with the result")
    with TemporaryFolder("export") as folder:
        exported = folder / f"{path.name}.onnx"
        try:
            export_source(os.fspath(model), exported, ExportOptions())
        except InputError as error:
            raise type(error)(f"{path} is no .onnx, and no checkpoint either: {error}") from error
        yield _as_published(path, exported)


def _as_published(source: Path, artifact: Path) -> Path:
    """``artifact`` with the files of a published folder, where it was made of one of several.

    What is compared with it, a folder that quantkit wrote, has such files, too: sizes and times are
    of the same kind then.
    """
    from quantkit.exporting.folders.registry import layout_of
    from quantkit.graph.artifact import open_model, save_model
    from quantkit.graph.translating import set_kept, translations_of

    layout = layout_of(source)
    if layout is None:
        return artifact
    model = open_model(artifact, check=False)
    if translations_of(model) is None:
        return artifact
    set_kept(model, kept=True)
    # Graphs in ONNX Runtime's own format have become .onnx.
    path = artifact.parent / source.name / layout.files(source).main.with_suffix(".onnx").name
    save_model(model, path)
    return path


def own_folder(path: Path) -> Path | None:
    """The first graph of a published folder that quantkit has written; None for any other path.

    Raises:
        InputError: a published folder lacks a file, or ``path`` is one of several in it.
    """
    alone = path.suffix == ".onnx" and path.is_file()
    if alone and len([*path.parent.glob("*.onnx")]) < 2:
        return None
    from quantkit.exporting.folders.registry import layout_of, refuse_part
    from quantkit.graph.integrity import stored_checksum

    if alone:
        refuse_part(path)
    layout = layout_of(path)
    if layout is None:
        return None
    main = layout.files(path).main
    return main if stored_checksum(main) else None


def _is_source(path: Path, text: str) -> bool:
    """Whether ``path`` has to be exported first.

    Args:
        text: as it was given; ``./a/b`` is a path, and no name on the hub.
    """
    if path.suffix == ".onnx":
        return False
    if path.exists():
        return path.is_dir() or path.suffix in _CHECKPOINTS
    return is_hub_name(text)
