"""Speech synthesis programs with a common interface: text → waveform.

Each engine gets a whole list of texts at once, because festival and piper need a second to start
and milliseconds per text.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError, MissingDependencyError, QuantkitError
from quantkit.synthesis.voices import Voice

Waveform = npt.NDArray[np.float32]

_TIMEOUT_SECONDS = 300
_SHORTEST_SECONDS = 0.05
# Texts become program arguments and festival Scheme; no character in them may end a string.
_SPEAKABLE = re.compile(r"[A-Za-z0-9'][A-Za-z0-9' ,.?!-]*")
_ESPEAK_WORDS_PER_MINUTE = 165
# Default mean fundamental frequency of each flite voice, in Hz.
_FLITE_PITCH_HZ = {"slt": 170.0, "rms": 100.0, "awb": 120.0, "kal": 105.0, "kal16": 105.0}


class SynthesisError(QuantkitError, RuntimeError):
    """A synthesis program is installed but produced no speech."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to say, and how: ``stretch`` 1.2 is 20 % slower, ``pitch`` 1.2 is 20 % higher.

    Not every voice supports both: festival-slt ignores both, flite-rms, piper and festival ignore
    pitch.
    """

    text: str
    stretch: float = 1.0
    pitch: float = 1.0


def is_available(voice: Voice) -> bool:
    """Whether the program of this voice, and the voice itself, are installed."""
    if voice.engine == "piper":
        return _importable("piper") and _importable(voice.identifier)
    if shutil.which(voice.program) is None:
        return False
    return voice.engine != "festival" or voice.identifier in _festival_voices()


def available_voices(voices: Iterable[Voice]) -> list[Voice]:
    """Those of ``voices`` that are installed, in the same order."""
    return [voice for voice in voices if is_available(voice)]


def speak(voice: Voice, requests: Sequence[Request]) -> Iterator[tuple[Waveform, int]]:
    """Yield one mono waveform in [-1, 1] and its sample rate in Hz per request, in order.

    Raises:
        InputError: a text is empty or contains other characters than English letters, digits and
            punctuation.
        MissingDependencyError: the program or the voice is not installed.
        SynthesisError: the program failed or produced silence.
    """
    if not is_available(voice):
        raise MissingDependencyError(
            f"voice {voice.name} needs {voice.program}, which is not installed ({voice.install})"
        )
    for request in requests:
        if not _SPEAKABLE.fullmatch(request.text):
            raise InputError(f"cannot speak {request.text!r}: use only a to z and , . ? ! ' -")
    if voice.engine == "piper":
        yield from (_checked(*_piper(voice, request), voice, request) for request in requests)
        return
    with TemporaryFolder("speech") as folder:
        paths = [folder / f"{place}.wav" for place in range(len(requests))]
        if voice.engine == "festival":
            _festival(voice, requests, paths)
        for request, path in zip(requests, paths, strict=True):
            if voice.engine != "festival":
                _run(_command(voice, request, path), voice)
            yield _checked(*_read(path, voice, request), voice, request)
            path.unlink()


def _command(voice: Voice, request: Request, path: Path) -> list[str]:
    if voice.engine == "espeak":
        speed = round(_ESPEAK_WORDS_PER_MINUTE / request.stretch)
        pitch = min(99, max(0, round(50 + 60 * log2(request.pitch))))
        manner = ["-v", voice.identifier, "-s", str(speed), "-p", str(pitch)]
        return ["espeak-ng", *manner, "-w", str(path), request.text]
    pitch_hz = _FLITE_PITCH_HZ[voice.identifier] * request.pitch
    settings = (f"duration_stretch={request.stretch:.3f}", f"int_f0_target_mean={pitch_hz:.1f}")
    manner = [part for setting in settings for part in ("--setf", setting)]
    return ["flite", "-voice", voice.identifier, *manner, "-t", request.text, "-o", str(path)]


def _festival(voice: Voice, requests: Sequence[Request], paths: Sequence[Path]) -> None:
    script = [f"(voice_{voice.identifier})"]
    for request, path in zip(requests, paths, strict=True):
        script.append(f"(Parameter.set 'Duration_Stretch {request.stretch:.3f})")
        script.append(
            f'(utt.save.wave (utt.synth (Utterance Text "{request.text}")) "{path}" \'riff)'
        )
    if paths:
        program = paths[0].with_suffix(".scm")
        program.write_text("\n".join(script), encoding="utf-8")
        _run(["festival", "-b", str(program)], voice)


def _piper(voice: Voice, request: Request) -> tuple[Waveform, int]:
    speaker, config_type = _piper_voice(voice.identifier)
    config = config_type(length_scale=request.stretch)
    chunks = list(speaker.synthesize(request.text, config))
    if not chunks:
        raise SynthesisError(f"voice {voice.name} produced no speech for {request.text!r}")
    samples = np.concatenate([chunk.audio_float_array for chunk in chunks]).astype(np.float32)
    return samples, int(chunks[0].sample_rate)


@cache
def _piper_voice(package: str) -> tuple[Any, Any]:
    piper = importlib.import_module("piper")
    runtime = importlib.import_module("onnxruntime")
    files = importlib.import_module(package)
    speaker = piper.PiperVoice.load(files.model_path(), files.config_path())
    # One thread: synthesis runs in parallel with other work, and clips are too short for more.
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    speaker.session = runtime.InferenceSession(
        str(files.model_path()), sess_options=options, providers=["CPUExecutionProvider"]
    )
    return speaker, piper.SynthesisConfig


@cache
def _importable(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@cache
def _festival_voices() -> frozenset[str]:
    listed = subprocess.run(
        ["festival", "-b", "(print (voice.list))"],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    return frozenset(listed.stdout.replace("(", " ").replace(")", " ").split())


def _run(command: list[str], voice: Voice) -> None:
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=_TIMEOUT_SECONDS)
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip() or f"exit code {error.returncode}"
        raise SynthesisError(f"voice {voice.name} failed: {reason}") from error
    except subprocess.TimeoutExpired as error:
        raise SynthesisError(f"voice {voice.name} took over {_TIMEOUT_SECONDS} s") from error


def _read(path: Path, voice: Voice, request: Request) -> tuple[Waveform, int]:
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise SynthesisError(f"voice {voice.name} wrote no audio for {request.text!r}") from error
    return np.ascontiguousarray(samples[:, 0]), int(rate)


def _checked(samples: Waveform, rate: int, voice: Voice, request: Request) -> tuple[Waveform, int]:
    if len(samples) < _SHORTEST_SECONDS * rate or not np.any(samples):
        raise SynthesisError(f"voice {voice.name} was silent for {request.text!r}")
    return samples, rate
