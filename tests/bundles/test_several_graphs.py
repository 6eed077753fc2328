"""Bundles of models of several graphs, and of classifiers: the example says what quantkit says."""

from __future__ import annotations

import json
import shutil
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import quantkit
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.bundles.browser import find_browser
from quantkit.bundles.cpp_run import run_cpp
from quantkit.bundles.manifest import describe, read_manifest, write_manifest
from quantkit.bundles.page_run import run_page
from quantkit.errors import VerificationError
from quantkit.graph.artifact import model_files
from quantkit.text.decoding import Decoding
from quantkit.text.labels import Labels
from tests import canary, nemotron
from tests.bundles.test_bundle import run_example
from tests.bundles.test_cpp import COMPILER, FOUND, needs_headers
from tests.bundles.test_examples import run_node, write_wav
from tests.clients.installed import MODULES, needs_browser, needs_node
from tests.exporting.folders.small_folders import (
    write_gigaam,
    write_icefall,
    write_nemo,
    write_streaming_ctc,
    write_streaming_icefall,
    write_streaming_nemo,
    write_streaming_nemo_ctc,
)
from tests.moonshine import moonshine_folder
from tests.sherpa_whisper import sherpa_whisper

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
IN_CHUNKS = (
    "chunks",
    "chunks-ctc",
    "chunks-own",
    "chunks-nemo",
    "chunks-nemo-ctc",
    "chunks-nemotron",
)
TRANSDUCERS = ("tdt", "rnnt", "stateless", "gigaam", "gigaam-v3")
OF_CLIPS = (*TRANSDUCERS, "moonshine", "canary", "whisper", "classes")
KINDS = (*OF_CLIPS, *IN_CHUNKS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (speech,) = open_corpus(REPOSITORY / "calibration_data").sample(1)
    samples = (load_waveform(speech, 16_000)[:24_000] * 32_768).astype("<i2")
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(16_000)
        stream.writeframes(samples.tobytes())
    return path


def whole_numbers(samples: FloatArray) -> FloatArray:
    """(samples, 1) for a file of 16 bits."""
    return np.round(samples * 32_768)[:, np.newaxis].astype(np.float32)


def heard(clip: Path) -> FloatArray:
    with wave.open(str(clip)) as stream:
        return np.frombuffer(stream.readframes(1 << 20), "<i2").astype(np.float32) / 32_768


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("folders")
    shipped = REPOSITORY / "models" / "wav2letter-en"
    nemotron_folder = nemotron.save(folder / "nemotron", nemotron.tiny())
    canary_folder = canary.save(folder / "canary", canary.tiny())
    return {
        "tdt": write_nemo(folder / "tdt"),
        "rnnt": write_nemo(folder / "rnnt", durations=0),
        "stateless": write_icefall(folder / "stateless", inner=""),
        "gigaam": write_gigaam(folder / "gigaam"),
        "gigaam-v3": write_gigaam(folder / "gigaam-v3", version="v3", e2e=True),
        "chunks": write_streaming_icefall(folder / "chunks"),
        "chunks-ctc": write_streaming_ctc(folder / "chunks-ctc"),
        "chunks-own": quantkit.export(shipped, folder / "own.onnx", chunk=0.32).path,
        "chunks-nemo": write_streaming_nemo(folder / "chunks-nemo", normalize="per_feature"),
        "chunks-nemo-ctc": write_streaming_nemo_ctc(folder / "chunks-nemo-ctc"),
        "chunks-nemotron": quantkit.export(nemotron_folder, folder / "nemotron.onnx").path,
        "moonshine": moonshine_folder(tmp_path_factory),
        "canary": quantkit.export(canary_folder, folder / "canary.onnx").path,
        "whisper": sherpa_whisper(tmp_path_factory),
        "classes": quantkit.export(REPOSITORY / "models/keywords-en", folder / "classes.onnx").path,
    }


@pytest.fixture(scope="module")
def bundles(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("bundles")
    licence = made / "LICENCE"
    licence.write_text("MIT License\n")
    for name, folder in folders.items():
        quantkit.ship(folder, made / name, licence=licence)
    return {name: made / name for name in folders}


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_says_what_we_say(
    kind: str, folders: dict[str, Path], bundles: dict[str, Path], clip: Path
) -> None:
    done = run_example(bundles[kind], clip)
    assert done.returncode == 0, done.stderr
    # The example has no fallback.
    plain = Decoding(temperatures=(0.0,)) if kind == "whisper" else None
    expected = quantkit.load(folders[kind], decoding=plain).transcribe(heard(clip), 16_000).text
    assert done.stdout.split() == expected.split()
    assert expected.split()


@needs_node
@pytest.mark.parametrize("kind", KINDS)
def test_the_example_for_node_says_the_same(
    kind: str, bundles: dict[str, Path], clip: Path
) -> None:
    done = run_node(bundles[kind], clip)
    assert done.returncode == 0, done.stderr
    assert done.stdout == run_example(bundles[kind], clip).stdout
    assert done.stdout.strip()


@needs_browser
@pytest.mark.parametrize("kind", ["tdt", "moonshine", "whisper", "classes", "chunks", "chunks-own"])
def test_the_page_shows_the_same(kind: str, bundles: dict[str, Path], clip: Path) -> None:
    program = find_browser()
    assert program is not None
    shown = run_page(bundles[kind], clip, program, MODULES / "onnxruntime-web")
    assert shown.text == run_example(bundles[kind], clip).stdout.strip() != ""


@needs_headers
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in IN_CHUNKS])
def test_the_example_in_cpp_says_the_same(
    kind: str, bundles: dict[str, Path], clip: Path, tmp_path: Path
) -> None:
    assert FOUND is not None
    done = run_cpp(bundles[kind], clip, COMPILER, FOUND, tmp_path)
    assert done.code == 0, done.errors
    assert done.output == run_example(bundles[kind], clip).stdout
    assert done.output.strip()


@pytest.mark.parametrize("kind", IN_CHUNKS)
def test_what_hears_in_chunks_has_no_example_in_cpp(kind: str, bundles: dict[str, Path]) -> None:
    assert not (bundles[kind] / "example.cpp").exists()
    assert "example.cpp" not in (bundles[kind] / "CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_every_graph_is_in_the_manifest(kind: str, bundles: dict[str, Path]) -> None:
    bundle = bundles[kind]
    listed = {entry.path for entry in read_manifest(bundle).files}
    files = {file.name for file in model_files(bundle / "model.onnx")}
    assert len(files) > 1 or kind in (*IN_CHUNKS, "classes")
    assert {*files, "decoding.json", "labels.json", "example.py"} <= listed
    said = json.loads((bundle / "decoding.json").read_text(encoding="utf-8"))
    assert {graph["file"] for graph in said["graphs"]} == files
    verified = quantkit.verify(bundle)
    verified.require()
    card = (bundle / "CARD.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in card for name in files)


def test_a_transducer_takes_waveforms_and_still_opens_here(
    bundles: dict[str, Path], folders: dict[str, Path], clip: Path
) -> None:
    shipped = quantkit.load(bundles["tdt"] / "model.onnx")
    ours = quantkit.load(folders["tdt"])
    samples = heard(clip)
    assert shipped.transcribe(samples, 16_000).text == ours.transcribe(samples, 16_000).text


def test_a_changed_decoder_is_found(bundles: dict[str, Path], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundles["moonshine"], tmp_path / "bundle"))
    (bundle / "model.decoder.onnx").write_bytes(b"another")
    with pytest.raises(VerificationError, match=r"model\.decoder\.onnx: has 7 bytes"):
        quantkit.verify(bundle).require()


def test_the_example_of_a_bundle_is_not_run_by_verify(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    """It may be anybody's, with a manifest that fits."""
    bundle = Path(shutil.copytree(bundles["tdt"], tmp_path / "bundle"))
    trap = tmp_path / "trap"
    (bundle / "example.py").write_text(f"open({str(trap)!r}, 'w')")
    write_manifest(replace(read_manifest(bundle), files=describe(bundle)), bundle)
    quantkit.verify(bundle).require()
    assert not trap.exists()


def test_a_long_clip_gets_the_class_of_its_pieces_together(
    bundles: dict[str, Path], folders: dict[str, Path], clip: Path, tmp_path: Path
) -> None:
    """Of 95 seconds, of which only the last piece holds another sound."""
    quiet = np.random.default_rng(0).normal(0, 0.001, 85 * 16_000).astype(np.float32)
    sound = np.concatenate([quiet, np.resize(heard(clip), 10 * 16_000)])
    samples = np.round(sound * 32_768).astype(np.float32) / 32_768
    long = tmp_path / "long.wav"
    write_wav(long, whole_numbers(samples))
    said = run_example(bundles["classes"], long).stdout.strip()
    assert said == quantkit.load(folders["classes"]).transcribe(samples, 16_000).text
    last = tmp_path / "last.wav"
    write_wav(last, whole_numbers(samples[90 * 16_000 :]))
    assert run_example(bundles["classes"], last).stdout.strip() != said


def test_labels_that_are_not_the_classes_of_the_model_are_found(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(bundles["classes"], tmp_path / "bundle"))
    labels = Labels.from_json((bundle / "labels.json").read_bytes())
    swapped = Labels.of_classes((labels.tokens[1], labels.tokens[0], *labels.tokens[2:]))
    (bundle / "labels.json").write_text(swapped.to_json(), encoding="utf-8")
    write_manifest(replace(read_manifest(bundle), files=describe(bundle)), bundle)
    with pytest.raises(VerificationError, match=r"labels\.json: differs from the labels"):
        quantkit.verify(bundle).require()
