"""Artifacts that folders for other programs are made of, and clips that both hear."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import quantkit
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.text.decoding import Decoding
from tests import moonshine_pretrained, pretrained, whisper
from tests.exporting.folders import small_folders
from tests.once import made_once

REPOSITORY = Path(__file__).resolve().parents[3]
#: A clip as it is decoded by programs that know no other way.
PLAIN = Decoding(temperatures=(0.0,), language="en")


@pytest.fixture(scope="session")
def clips() -> list[FloatArray]:
    speech = open_corpus(REPOSITORY / "calibration_data").sample(2)
    return [load_waveform(clip, 16_000)[:32_000] for clip in speech]


@pytest.fixture(scope="session")
def licence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("licence") / "LICENCE"
    path.write_text("MIT License\n")
    return path


def _small(folder: Path, path: Path) -> Path:
    return quantkit.quantize(folder, path, "dynamic-int8").path


def write_whisper(folder: Path) -> Path:
    """A multilingual Whisper whose text tokens are all different, as those of a real one are."""
    model = whisper.tiny_whisper(init_std=0.2)
    with torch.no_grad():
        embedding = model.model.decoder.embed_tokens.weight
        # Texts end, and nothing that steers the decoder is said.
        embedding[whisper.TEXT_TOKENS + 1 :] *= 0.1
        end = embedding[whisper.TEXT_TOKENS].mul_(3)
        model.model.decoder.layer_norm.bias.copy_(0.2 * end)
    whisper.write_transformers(folder, model)
    names = whisper.token_names()
    letters = "abcdefghijklmnop"
    pieces = {
        "".join(letters[number >> shift & 15] for shift in (0, 4, 8, 12)): number
        for number in range(whisper.TEXT_TOKENS)
    }
    steering = names[whisper.TEXT_TOKENS :]
    added = [{"content": s, "id": whisper.TEXT_TOKENS + i} for i, s in enumerate(steering)]
    content = {"model": {"vocab": pieces}, "added_tokens": added}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _whisper(folder: Path) -> None:
    quantkit.export(write_whisper(folder / "whisper"), folder / "float.onnx")
    _small(folder / "float.onnx", folder / "small.onnx")


def _moonshine(folder: Path) -> None:
    moonshine_pretrained.save(folder / "moonshine", moonshine_pretrained.tiny())
    quantkit.export(folder / "moonshine", folder / "float.onnx")
    _small(folder / "float.onnx", folder / "small.onnx")


def _wav2vec2(folder: Path) -> None:
    for name, kind in (("ctc", "Wav2Vec2ForCTC"), ("classes", "Wav2Vec2ForSequenceClassification")):
        for standardized in (True, False):
            place = folder / f"{name}-{standardized}"
            pretrained.save(place, pretrained.tiny(kind), standardized=standardized)
            quantkit.export(place, place.with_suffix(".onnx"))


_WRITERS: dict[str, Callable[[Path], Path]] = {
    "tdt": small_folders.write_nemo,
    "icefall": lambda folder: small_folders.write_icefall(folder, inner=""),
    "three-graphs": small_folders.write_sherpa_nemo,
    "three-graphs-tdt": lambda folder: small_folders.write_sherpa_nemo(folder, durations=5),
    "nemo-ctc": small_folders.write_nemo_ctc,
    "gigaam": lambda folder: small_folders.write_gigaam(folder, version="v3", e2e=True),
    "gigaam-ctc": lambda folder: small_folders.write_gigaam_ctc(folder, version="v3"),
    "sherpa-gigaam": small_folders.write_sherpa_gigaam,
    "sherpa-gigaam-ctc": lambda folder: small_folders.write_sherpa_gigaam_ctc(folder, gigaam=True),
    "chunks": small_folders.write_streaming_icefall,
    "chunks-ctc": small_folders.write_streaming_ctc,
}


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A quantized artifact by its name; it is made where a test asks for it."""

    def find(name: str) -> Path:
        if name == "whisper":
            return made_once(tmp_path_factory, "profiles-whisper", _whisper) / "small.onnx"
        if name == "moonshine":
            return made_once(tmp_path_factory, "profiles-moonshine", _moonshine) / "small.onnx"
        if name.startswith(("ctc-", "classes-")):
            return made_once(tmp_path_factory, "profiles-wav2vec2", _wav2vec2) / f"{name}.onnx"

        def make(folder: Path) -> None:
            _small(_WRITERS[name](folder / "float"), folder / "small.onnx")

        return made_once(tmp_path_factory, f"profiles-{name}", make) / "small.onnx"

    return find


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder that such an artifact was made of."""

    def find(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name) / "float"
        return _WRITERS[name](folder)

    return find


def our_texts(model: Path, clips: list[FloatArray], decoding: Decoding | None = None) -> list[str]:
    """What our runner writes of each clip."""
    opened = quantkit.load(model, decoding=decoding)
    return [opened.transcribe(clip, 16_000).text for clip in clips]


def begin_alike(found: list[str], expected: list[str]) -> bool:
    """Whether texts are the same as far as both go; programs give texts up at other lengths."""
    pairs = [
        ("".join(one.split()), "".join(other.split()))
        for one, other in zip(found, expected, strict=True)
    ]
    return all(min(map(len, pair)) > 2 for pair in pairs) and all(
        one[: len(other)] == other[: len(one)] for one, other in pairs
    )
