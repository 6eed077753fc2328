"""The examples of a bundle are run when it is made, and each writes what Python's writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

import quantkit
from quantkit.bundles import ship
from quantkit.bundles.example_runs import find_package, package_version
from quantkit.bundles.manifest import read_manifest
from quantkit.bundles.measured_process import run_measured
from quantkit.errors import InputError
from tests.bundles.test_bundle import run_example
from tests.clients.installed import MODULES, needs_node


def run_node(bundle: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["node", str(bundle / "example.mjs"), *map(str, arguments)]
    environment = {**os.environ, "NODE_PATH": str(MODULES)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def write_wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    """(samples, channels) int16."""
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(samples.shape[1])
        stream.setsampwidth(2)
        stream.setframerate(rate)
        stream.writeframes(samples.astype("<i2").tobytes())
    return path


class TestWhatTheBundleSays:
    def test_python_was_run_and_node_was_not_without_its_runtime(
        self, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("NODE_PATH", raising=False)
        manifest = ship(artifact, tmp_path / "bundle")
        said = {run["file"]: run for run in read_manifest(tmp_path / "bundle").examples}
        assert [dict(run) for run in manifest.examples] == list(said.values())
        assert said["example.py"]["run"] is True
        assert said["example.mjs"]["run"] is False
        assert said["example.mjs"]["reason"].startswith("there was no ")
        card = (tmp_path / "bundle" / "CARD.md").read_text(encoding="utf-8")
        assert "| `example.mjs` | not run: there was no" in card
        assert "on noise of 2.0 seconds" in card

    def test_figures_are_on_the_card_for_a_clip_only(
        self, artifact: Path, tmp_path: Path, clip: Path
    ) -> None:
        ship(artifact, tmp_path / "bundle", clip=clip)
        card = (tmp_path / "bundle" / "CARD.md").read_text(encoding="utf-8")
        assert "on `clip.wav` of 1.0 seconds" in card
        assert "start to text | peak memory" in card
        expected = run_example(tmp_path / "bundle", clip).stdout.strip()
        assert expected
        assert f"Text of `example.py`: {expected}" in card

    def test_nothing_of_the_runs_stays_in_the_bundle(self, bundle: Path) -> None:
        quantkit.verify(bundle).require()
        listed = {entry.path for entry in read_manifest(bundle).files}
        assert {"example.mjs", "js/common.mjs", "js/recognise.mjs"} <= listed

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(b"", "no WAV file"), (b"RIFF....WAVE", "no WAV file"), (None, "cannot read")],
    )
    def test_a_clip_that_is_none_is_refused_first(
        self, artifact: Path, tmp_path: Path, content: bytes | None, reason: str
    ) -> None:
        clip = tmp_path / "broken.wav"
        if content is not None:
            clip.write_bytes(content)
        with pytest.raises(InputError, match=reason):
            ship(artifact, tmp_path / "bundle", clip=clip)
        assert not (tmp_path / "bundle").exists()

    def test_a_clip_of_another_rate_is_refused(self, artifact: Path, tmp_path: Path) -> None:
        clip = write_wav(tmp_path / "clip.wav", np.zeros((8_000, 1)), 8_000)
        with pytest.raises(InputError, match="has 8000 Hz, and the model needs 16000"):
            ship(artifact, tmp_path / "bundle", clip=clip)


class TestPackages:
    def test_only_the_named_folders_are_looked_at(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "node_modules" / "runtime"
        package.mkdir(parents=True)
        (package / "package.json").write_text('{"version": "1.2.3"}')
        monkeypatch.delenv("NODE_PATH", raising=False)
        monkeypatch.chdir(tmp_path)
        assert find_package("runtime", None) is None
        assert find_package("runtime", tmp_path / "node_modules") == package
        monkeypatch.setenv("NODE_PATH", f"/nowhere{os.pathsep}{tmp_path / 'node_modules'}")
        assert find_package("runtime", None) == package
        assert package_version(package) == "1.2.3"

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1}'])
    def test_a_package_without_a_version_has_none(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "package.json").write_text(content)
        assert package_version(tmp_path) == "unknown"


class TestAMeasuredProgram:
    def test_what_it_prints_takes_and_returns(self, tmp_path: Path) -> None:
        done = run_measured(["sh", "-c", "echo said; sleep 0.2; echo bad >&2; exit 3"], tmp_path)
        assert (done.code, done.output, done.reason) == (3, "said\n", "bad")
        assert 0.2 <= done.seconds < 10
        assert done.peak_bytes > 0 or not Path("/proc/self/status").exists()

    def test_a_signal_is_a_reason(self, tmp_path: Path) -> None:
        assert run_measured(["sh", "-c", "kill -9 $$"], tmp_path).reason == (
            "it was killed by signal 9"
        )


@needs_node
class TestNode:
    def test_it_writes_what_python_writes(self, bundle: Path, clip: Path) -> None:
        done = run_node(bundle, clip)
        assert done.returncode == 0, done.stderr
        assert done.stdout == run_example(bundle, clip).stdout
        assert done.stdout.strip()

    def test_long_clips_of_two_channels_are_cut_alike(self, bundle: Path, tmp_path: Path) -> None:
        samples = np.random.default_rng(3).integers(-9_000, 9_000, (150 * 16_000 + 77, 2))
        clip = write_wav(tmp_path / "long.wav", samples)
        assert run_node(bundle, clip).stdout == run_example(bundle, clip).stdout != ""

    def test_the_bundle_says_that_it_was_run(
        self, artifact: Path, tmp_path: Path, clip: Path
    ) -> None:
        manifest = ship(artifact, tmp_path / "bundle", clip=clip, node_modules=MODULES)
        (said,) = [run for run in manifest.examples if run["file"] == "example.mjs"]
        version = json.loads((MODULES / "onnxruntime-node" / "package.json").read_bytes())
        assert said["run"] is True
        assert said["same_text"] is True
        assert said["runtime"]["onnxruntime-node"] == version["version"]

    @pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff"])
    def test_what_is_no_clip_is_one_line(
        self, bundle: Path, tmp_path: Path, content: bytes
    ) -> None:
        (tmp_path / "clip.wav").write_bytes(content)
        done = run_node(bundle, tmp_path / "clip.wav")
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1

    @pytest.mark.parametrize(
        ("samples", "rate", "reason"),
        [(8_000, 8_000, "has 8000 Hz"), (1_000, 16_000, "too short")],
    )
    def test_a_clip_that_does_not_fit_is_refused(
        self, bundle: Path, tmp_path: Path, samples: int, rate: int, reason: str
    ) -> None:
        clip = write_wav(tmp_path / "clip.wav", np.zeros((samples, 1)), rate)
        done = run_node(bundle, clip)
        assert done.returncode == 1
        assert reason in done.stderr

    def test_without_a_clip_it_says_how(self, bundle: Path) -> None:
        assert "usage" in run_node(bundle).stderr

    def test_it_needs_no_write_access(self, bundle: Path, clip: Path) -> None:
        before = sorted(bundle.rglob("*"))
        run_node(bundle, clip)
        assert sorted(bundle.rglob("*")) == before


def test_an_earlier_bundle_with_its_folders_is_replaced(artifact: Path, tmp_path: Path) -> None:
    ship(artifact, tmp_path / "bundle")
    ship(artifact, tmp_path / "bundle", force=True)
    assert (tmp_path / "bundle" / "js" / "common.mjs").is_file()
    shutil.rmtree(tmp_path / "bundle")
