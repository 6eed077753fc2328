"""Folders for transformers.js, opened by its pipelines in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantkit
from quantkit.arrays import FloatArray
from tests.bundles.profiles.conftest import PLAIN, REPOSITORY, begin_alike, our_texts
from tests.clients.installed import MODULES

PROGRAM = REPOSITORY / "tests" / "clients" / "transcribe.mjs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("node") is None or not (MODULES / "@huggingface").is_dir(),
        reason="transformers.js is not installed: make clients",
    ),
]


def run(folder: Path, task: str, clip: FloatArray, scratch: Path, **options: Any) -> Any:
    (scratch / "clip.f32").write_bytes(clip.astype("<f4").tobytes())
    given = (MODULES, folder, task, scratch / "clip.f32", json.dumps(options))
    command = ["node", str(PROGRAM), *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def shipped(
    artifact: Callable[[str], Path], licence: Path, tmp_path: Path
) -> Callable[[str], Path]:
    def ship(name: str) -> Path:
        made = quantkit.ship(
            artifact(name), tmp_path / "made", licence=licence, profile="transformers.js"
        )
        quantkit.verify(made.path).require()
        return made.path

    return ship


@pytest.mark.parametrize("name", ["ctc-True", "ctc-False", "nemo-ctc"])
def test_ctc_is_written_as_our_runner_writes_it(
    name: str,
    artifact: Callable[[str], Path],
    shipped: Callable[[str], Path],
    tmp_path: Path,
    clips: list[FloatArray],
) -> None:
    """A front end of features becomes a part of the graph."""
    clip = clips[0]
    found = run(shipped(name), "automatic-speech-recognition", clip, tmp_path)["text"]
    (expected,) = our_texts(artifact(name), [clip])
    assert found.split() == expected.split() != []


def test_a_classifier_finds_the_same_class(
    artifact: Callable[[str], Path],
    shipped: Callable[[str], Path],
    tmp_path: Path,
    clips: list[FloatArray],
) -> None:
    found = run(shipped("classes-True"), "audio-classification", clips[0], tmp_path)
    assert [found[0]["label"]] == our_texts(artifact("classes-True"), clips[:1])


@pytest.mark.parametrize("name", ["whisper", "moonshine"])
def test_what_a_decoder_writes_is_the_same(
    name: str,
    artifact: Callable[[str], Path],
    shipped: Callable[[str], Path],
    tmp_path: Path,
    clips: list[FloatArray],
) -> None:
    clip = clips[0]
    options = {"language": "en"} if name == "whisper" else {}
    found = run(shipped(name), "automatic-speech-recognition", clip, tmp_path, **options)["text"]
    decoding = PLAIN if name == "whisper" else None
    assert begin_alike([found], our_texts(artifact(name), [clip], decoding))
