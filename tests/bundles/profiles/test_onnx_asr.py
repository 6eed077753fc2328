"""Folders for onnx-asr, opened by it: it hears what our runner hears."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import quantkit
from quantkit.arrays import FloatArray
from tests.bundles.profiles.conftest import PLAIN, begin_alike, our_texts

onnx_asr = pytest.importorskip("onnx_asr", reason="onnx-asr is not installed")

KINDS = {
    "tdt": "nemo-conformer-tdt",
    "three-graphs": "nemo-conformer-rnnt",
    "three-graphs-tdt": "nemo-conformer-tdt",
    "nemo-ctc": "nemo-conformer-ctc",
    "icefall": "kaldi-rnnt",
    "gigaam": "gigaam-v3-e2e-rnnt",
    "gigaam-ctc": "gigaam-v3-ctc",
}


@pytest.mark.parametrize("name", KINDS)
def test_it_writes_what_our_runner_writes(
    name: str,
    artifact: Callable[[str], Path],
    licence: Path,
    tmp_path: Path,
    clips: list[FloatArray],
) -> None:
    made = quantkit.ship(artifact(name), tmp_path / "made", licence=licence, profile="onnx-asr")
    quantkit.verify(made.path).require()
    model = onnx_asr.load_model(KINDS[name], made.path)
    found = [model.recognize(clip, sample_rate=16_000).split() for clip in clips]
    heard = artifact(name)
    if name.startswith("three-graphs"):
        # Features of sherpa-onnx's folders are its own; this program makes NeMo's.
        heard = tmp_path / "again.onnx"
        quantkit.export(made.path, heard)
    assert found == [text.split() for text in our_texts(heard, clips)]
    assert any(found)


@pytest.mark.slow
def test_a_whisper_is_written_alike(
    artifact: Callable[[str], Path], licence: Path, tmp_path: Path, clips: list[FloatArray]
) -> None:
    path = artifact("whisper")
    made = quantkit.ship(path, tmp_path / "made", licence=licence, profile="onnx-asr")
    model = onnx_asr.load_model("whisper", made.path)
    found = [model.recognize(clip, sample_rate=16_000, language="en") for clip in clips]
    assert begin_alike(found, our_texts(path, clips, PLAIN))
