"""The example of a bundle in C++.

``QUANTKIT_ONNXRUNTIME`` names a folder with headers and library of ONNX Runtime, such as a release
archive unpacked; without it, those of the system are taken, and without these, what needs them is
skipped.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantkit.bundles import ship
from quantkit.bundles.cpp_example import labels_header
from quantkit.bundles.cpp_run import Kit, find_compiler, find_kit, run_cpp
from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import save_model
from quantkit.text.labels import Labels
from tests.bundles.conftest import recogniser, tiny_info
from tests.bundles.test_bundle import run_example
from tests.bundles.test_examples import write_wav

FOLDER = os.environ.get("QUANTKIT_ONNXRUNTIME", "/usr")
FOUND = find_kit(Path(FOLDER))
COMPILER = find_compiler() or ""

needs_compiler = pytest.mark.skipif(not COMPILER, reason="there is no C++ compiler")
needs_headers = pytest.mark.skipif(
    FOUND is None or not COMPILER,
    reason="there is no ONNX Runtime for C++ (QUANTKIT_ONNXRUNTIME), or no compiler",
)


@pytest.fixture
def kit() -> Kit:
    assert FOUND is not None
    return FOUND


@needs_compiler
def test_labels_are_in_the_header_as_they_are_printed(tmp_path: Path) -> None:
    labels = Labels(("_", 'a"b\\', "ü", "<0xC3>", "<0xBC>", "??/", "\t1", ""), 0, "-1")
    (tmp_path / "example_labels.h").write_text(labels_header(labels, 8_000), encoding="ascii")
    source = """
        #include <cstdio>
        #include "example_labels.h"
        int main() {
          std::printf("%zu %s %d\\n", kSampleRate, kSeparator.c_str(), kSilent.at(0));
          for (const auto& token : kTokens) {
            std::fwrite(token.text, 1, token.size, stdout);
            std::printf("|");
          }
        }"""
    (tmp_path / "main.cpp").write_text(source, encoding="utf-8")
    built = [COMPILER, "-std=c++17", "-Wall", "-Werror", str(tmp_path / "main.cpp"), "-o", "main"]
    subprocess.run(built, cwd=tmp_path, check=True)
    said = subprocess.run([str(tmp_path / "main")], capture_output=True, check=True).stdout
    assert said == '8000 -1 0\n_|a"b\\|ü|'.encode() + b"\xc3|\xbc|??/|\t1||"


def test_without_its_runtime_it_is_not_run(artifact: Path, tmp_path: Path) -> None:
    manifest = ship(artifact, tmp_path / "bundle")
    (said,) = [run for run in manifest.examples if run["file"] == "example.cpp"]
    assert said["run"] is False
    files = {entry.path for entry in manifest.files}
    assert {"example.cpp", "example_labels.h", "cpp/common.h", "cpp/recognise.h"} <= files


def test_a_folder_without_headers_is_refused(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    with pytest.raises(InputError, match=r"needs include/onnxruntime_cxx_api\.h"):
        ship(artifact, tmp_path / "bundle", onnxruntime=tmp_path / "kit")
    assert not (tmp_path / "bundle").exists()


def test_a_release_archive_is_recognised(tmp_path: Path) -> None:
    header = tmp_path / "include" / "onnxruntime" / "onnxruntime_cxx_api.h"
    header.parent.mkdir(parents=True)
    header.touch()
    assert find_kit(tmp_path) is None
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libonnxruntime.so.1.31.1").touch()
    (tmp_path / "lib" / "libonnxruntime.so").symlink_to("libonnxruntime.so.1.31.1")
    found = find_kit(tmp_path)
    assert found is not None
    assert found.include == header.parent
    assert found.version == "1.31.1"


def test_a_library_of_debian_is_found(tmp_path: Path) -> None:
    (tmp_path / "include" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "include" / "onnxruntime" / "onnxruntime_cxx_api.h").touch()
    library = tmp_path / "lib" / "x86_64-linux-gnu" / "libonnxruntime.so.1.21.0"
    library.parent.mkdir(parents=True)
    library.touch()
    found = find_kit(tmp_path)
    assert found is not None
    assert (found.library, found.version) == (library, "1.21.0")


@needs_compiler
def test_a_source_that_does_not_compile_is_an_error(
    bundle: Path, clip: Path, tmp_path: Path
) -> None:
    (bundle / "example.cpp").write_text("int main() { return nothing; }")
    kit = Kit(tmp_path, tmp_path / "libonnxruntime.so")
    (tmp_path / "built").mkdir()
    with pytest.raises(ModelError, match=r"does not compile: .*nothing"):
        run_cpp(bundle, clip, COMPILER, kit, tmp_path / "built")


@needs_compiler
def test_what_several_graphs_need_is_in_the_header(tmp_path: Path) -> None:
    states = [
        {"input": "h", "output": "n", "shape": [2, "batch", 3], "type": "float32", "value": 0.0},
        {"input": "last", "output": "now", "shape": ["batch"], "type": "int64", "value": 0.0},
    ]
    decoding = {
        "kind": "transducer",
        "graphs": [
            {"role": "encoder", "file": "model.onnx", "states": []},
            {"role": "predictor", "file": "model.predictor.onnx", "states": states},
        ],
        "start": [-1, 0],
        "durations": 3,
        "most_per_frame": 5,
    }
    header = labels_header(Labels(("_", "a")), 16_000, decoding)
    (tmp_path / "example_labels.h").write_text(header, encoding="ascii")
    source = """
        #include <cstdio>
        #include "example_labels.h"
        int main() {
          std::printf("%s %zu %d|", kGraphs.at("predictor").c_str(), kDurations, kBlank);
          for (const auto& state : kStates)
            std::printf("%s %s %zu %d|", state.input.c_str(), state.output.c_str(),
                        state.shape.size(), state.is_whole);
        }"""
    (tmp_path / "main.cpp").write_text(source, encoding="utf-8")
    built = [COMPILER, "-std=c++17", "-Wall", "-Werror", str(tmp_path / "main.cpp"), "-o", "main"]
    subprocess.run(built, cwd=tmp_path, check=True)
    said = subprocess.run([str(tmp_path / "main")], capture_output=True, check=True).stdout
    assert said == b"model.predictor.onnx 3 0|h n 3 0|last now 1 1|"


@needs_headers
class TestCompiled:
    def test_it_writes_what_python_writes(
        self, bundle: Path, clip: Path, tmp_path: Path, kit: Kit
    ) -> None:
        (tmp_path / "built").mkdir()
        done = run_cpp(bundle, clip, COMPILER, kit, tmp_path / "built")
        assert done.code == 0, done.errors
        assert done.output == run_example(bundle, clip).stdout != "\n"

    def test_long_clips_of_two_channels_are_cut_alike(
        self, bundle: Path, tmp_path: Path, kit: Kit
    ) -> None:
        samples = np.random.default_rng(3).integers(-9_000, 9_000, (150 * 16_000 + 77, 2))
        clip = write_wav(tmp_path / "long.wav", samples)
        (tmp_path / "built").mkdir()
        done = run_cpp(bundle, clip, COMPILER, kit, tmp_path / "built")
        assert done.output == run_example(bundle, clip).stdout

    def test_transitions_between_labels_count_as_in_python(
        self, tmp_path: Path, clip: Path, kit: Kit
    ) -> None:
        plain = Labels(("_", "a", "ü")).without_blank()
        assert plain.asg is not None
        random = np.random.default_rng(0)
        transitions = tuple(map(tuple, random.normal(size=(4, 4)).tolist()))
        labels = replace(plain, asg=replace(plain.asg, transitions=transitions))
        save_model(
            recogniser(replace(tiny_info(), labels=labels, task="asg")), tmp_path / "asg.onnx"
        )
        ship(tmp_path / "asg.onnx", tmp_path / "bundle")
        (tmp_path / "built").mkdir()
        done = run_cpp(tmp_path / "bundle", clip, COMPILER, kit, tmp_path / "built")
        assert done.output == run_example(tmp_path / "bundle", clip).stdout
        assert done.output.strip()

    def test_what_is_no_clip_is_one_line(self, bundle: Path, tmp_path: Path, kit: Kit) -> None:
        (tmp_path / "built").mkdir()
        clip = tmp_path / "clip.wav"
        for content in (b"", b"RIFF", b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff"):
            clip.write_bytes(content)
            done = run_cpp(bundle, clip, COMPILER, kit, tmp_path / "built")
            assert done.code == 1
            assert len(done.errors.strip().splitlines()) == 1

    def test_the_bundle_says_that_it_was_run(
        self, artifact: Path, tmp_path: Path, clip: Path, kit: Kit
    ) -> None:
        manifest = ship(artifact, tmp_path / "bundle", clip=clip, onnxruntime=Path(FOLDER))
        (said,) = [run for run in manifest.examples if run["file"] == "example.cpp"]
        assert (said["run"], said["same_text"]) == (True, True)
        assert said["runtime"] == {"onnxruntime": kit.version}
