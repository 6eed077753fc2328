"""A bundle holds all that an edge team needs, and replaces nothing that it should not."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import soundfile

from quantkit.bundles import ship, verify
from quantkit.bundles.manifest import REQUIRED, SBOM, read_manifest
from quantkit.disk.files import sha256_of
from quantkit.errors import FormatError, InputError, ModelError, OutputError
from quantkit.graph.artifact import read_info, save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.provenance import PROVENANCE, Provenance
from quantkit.runtime.recognizer import Recognizer
from quantkit.tasks.base import Task
from quantkit.tasks.ctc import CtcTask
from quantkit.text.distances import levenshtein
from quantkit.text.labels import Labels
from tests.bundles.conftest import recogniser


def greedy(artifact: Path, waveform: npt.NDArray[np.float32]) -> str:
    """What quantkit itself reads from the clip: argmax, collapse repeats, drop blanks."""
    recognizer = Recognizer.load(artifact)
    (log_probs,) = recognizer.log_probs([recognizer.features(waveform)])
    best = log_probs.argmax(axis=1)
    changed = best[np.flatnonzero(np.diff(best, prepend=-1))]
    return recognizer.labels.decode([i for i in changed if i != recognizer.labels.blank])


def run_example(bundle: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "utf8", str(bundle / "example.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


class TestContents:
    def test_every_promised_file_is_there_and_nothing_else(self, bundle: Path) -> None:
        assert {p.name for p in bundle.iterdir()} == {
            *REQUIRED,
            SBOM,
            "manifest.json",
            "cpp",
            "example.cpp",
            "example_labels.h",
            "example.mjs",
            "js",
            "web",
        }

    def test_a_model_without_front_end_gets_it(self, bundle: Path, artifact: Path) -> None:
        assert not read_info(artifact).fused
        assert read_info(bundle / "model.onnx").fused
        assert read_manifest(bundle).frontend_added
        assert json.loads((bundle / "frontend.json").read_text())["fused"] is True

    def test_a_model_with_front_end_is_copied_byte_for_byte(
        self, fused_artifact: Path, tmp_path: Path
    ) -> None:
        manifest = ship(fused_artifact, tmp_path / "b")
        assert (tmp_path / "b/model.onnx").read_bytes() == fused_artifact.read_bytes()
        assert not manifest.frontend_added
        assert manifest.model_sha256 == sha256_of(fused_artifact)

    @pytest.mark.slow
    def test_external_weights_travel_along(self, artifact: Path, tmp_path: Path) -> None:
        model = onnx.load(str(artifact))
        big = np.arange(2_000, dtype=np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(big, "spare"))
        save_model(model, artifact)
        manifest = ship(artifact, tmp_path / "b", external_threshold=1_000)
        assert "model.onnx.data" in {entry.path for entry in manifest.files}
        verify(tmp_path / "b").require(tmp_path / "b")

    def test_the_manifest_names_this_runtime(self, bundle: Path) -> None:
        import onnxruntime

        (runtime,) = read_manifest(bundle).tested_on
        assert runtime["onnxruntime"] == onnxruntime.__version__
        assert runtime.keys() == {"onnxruntime", "numpy", "os", "machine"}

    def test_the_manifest_says_what_the_model_was_made_from(
        self, artifact: Path, info: ArtifactInfo, tmp_path: Path
    ) -> None:
        made = Provenance("cd" * 32, 80, 241.5, {"onnxruntime": "1.31.1"})
        model = onnx.load(artifact)
        set_info(model, replace(info, extra={PROVENANCE: made.to_json()}))
        save_model(model, artifact)
        found = ship(artifact, tmp_path / "b").provenance
        assert found == read_manifest(tmp_path / "b").provenance
        assert len(found["plan_sha256"]) == 64
        assert found == {
            "model_sha256": "ab" * 32,
            "plan_sha256": found["plan_sha256"],
            "audio_sha256": "cd" * 32,
            "clips": 80,
            "seconds": 241.5,
            "versions": {"quantkit": "0.1.0", "onnxruntime": "1.31.1"},
        }
        assert f"80 clips of audio, 242 s, SHA-256 {'cd' * 32}" in (
            tmp_path / "b" / "CARD.md"
        ).read_text(encoding="utf-8")

    @pytest.mark.slow
    def test_the_same_model_gives_the_same_bytes(self, artifact: Path, tmp_path: Path) -> None:
        licence = tmp_path / "LICENCE"
        licence.write_text("CC0-1.0\n")
        bundles = []
        for seed, cores, folder in (("1", "1", "one"), ("2", "2", "elsewhere/another")):
            bundles.append(tmp_path / folder)
            command = [sys.executable, "-m", "quantkit", "ship", str(artifact)]
            done = subprocess.run(
                [*command, "--licence", str(licence), "-o", str(bundles[-1])],
                env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": cores},
                capture_output=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        one, other = (
            {
                path.relative_to(bundle): path.read_bytes()
                for path in bundle.rglob("*")
                if path.is_file()
            }
            for bundle in bundles
        )
        assert one == other

    @pytest.mark.slow
    def test_another_interpreter_is_tried_too(self, artifact: Path, tmp_path: Path) -> None:
        manifest = ship(artifact, tmp_path / "b", pythons=[sys.executable])
        assert len(manifest.tested_on) == 2

    def test_labels_and_front_end_are_those_of_the_model(
        self, bundle: Path, info: ArtifactInfo
    ) -> None:
        labels = json.loads((bundle / "labels.json").read_text(encoding="utf-8"))
        assert info.labels is not None
        assert labels["tokens"] == list(info.labels.tokens)
        assert json.loads((bundle / "frontend.json").read_text())["sample_rate"] == 16_000


@pytest.fixture
def keeping(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose example keeps what was unpacked."""
    monkeypatch.setattr("quantkit.bundles.example._WORTH_SHARE", 0)
    monkeypatch.setattr("quantkit.bundles.example._WORTH_BYTES", 0)
    ship(artifact, tmp_path / "keeping")
    return tmp_path / "keeping"


def kept_folders(bundle: Path) -> list[Path]:
    return sorted(bundle.glob(".unpacked-*"))


class TestKeptUnpacked:
    def test_the_second_start_opens_what_the_first_one_kept(
        self, keeping: Path, artifact: Path, clip: Path, waveform: npt.NDArray[np.float32]
    ) -> None:
        expected = greedy(artifact, waveform)
        assert run_example(keeping, clip).stdout.rstrip("\n") == expected
        (kept,) = kept_folders(keeping)
        written = (kept / "model.onnx").stat().st_mtime_ns
        # Only what the first start kept can still be opened.
        content = bytearray((keeping / "model.onnx").read_bytes())
        content[:-64] = bytes(len(content) - 64)
        (keeping / "model.onnx").write_bytes(content)
        done = run_example(keeping, clip)
        assert done.stdout.rstrip("\n") == expected, done.stderr
        assert [kept] == kept_folders(keeping)
        assert (kept / "model.onnx").stat().st_mtime_ns == written

    def test_another_model_is_not_answered_with_what_was_kept(
        self, keeping: Path, info: ArtifactInfo, clip: Path, tmp_path: Path
    ) -> None:
        run_example(keeping, clip)
        other = tmp_path / "other.onnx"
        save_model(recogniser(replace(info, name="another")), other)
        ship(other, tmp_path / "b")
        shutil.copyfile(tmp_path / "b" / "model.onnx", keeping / "model.onnx")
        assert run_example(keeping, clip).returncode == 0
        assert len(kept_folders(keeping)) == 2

    def test_what_cannot_be_opened_is_passed_over(
        self, keeping: Path, artifact: Path, clip: Path, waveform: npt.NDArray[np.float32]
    ) -> None:
        run_example(keeping, clip)
        (kept,) = kept_folders(keeping)
        (kept / "model.onnx").write_bytes(b"cut off")
        assert run_example(keeping, clip).stdout.rstrip("\n") == greedy(artifact, waveform)

    def test_where_nothing_can_be_written_the_model_runs_all_the_same(
        self, keeping: Path, artifact: Path, clip: Path, waveform: npt.NDArray[np.float32]
    ) -> None:
        source = (keeping / "example.py").read_text(encoding="utf-8")
        # Permissions do not keep root from writing.
        refusing = source.replace("new.mkdir()", "(new / 'no').mkdir()")
        assert refusing != source
        (keeping / "example.py").write_text(refusing, encoding="utf-8")
        assert run_example(keeping, clip).stdout.rstrip("\n") == greedy(artifact, waveform)
        assert not kept_folders(keeping)

    @pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have these locks")
    def test_what_a_killed_start_left_is_removed_by_the_next_one_that_unpacks(
        self, keeping: Path, clip: Path
    ) -> None:
        left = keeping / ".unpacked-new-1"
        left.mkdir()
        (left / "weights").write_bytes(bytes(100))
        run_example(keeping, clip)
        assert not left.exists()
        assert len(kept_folders(keeping)) == 1

    @pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have these locks")
    def test_what_another_start_is_unpacking_is_left_alone(
        self, keeping: Path, artifact: Path, clip: Path, waveform: npt.NDArray[np.float32]
    ) -> None:
        import fcntl

        other = keeping / ".unpacked-new-1"
        other.mkdir()
        with (keeping / "model.onnx").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert run_example(keeping, clip).stdout.rstrip("\n") == greedy(artifact, waveform)
        assert kept_folders(keeping) == [other]

    def test_it_is_no_part_of_the_bundle(self, keeping: Path, artifact: Path, clip: Path) -> None:
        run_example(keeping, clip)
        assert kept_folders(keeping)
        assert not verify(keeping).findings
        ship(artifact, keeping, force=True)
        assert not kept_folders(keeping)

    def test_a_model_that_opens_in_little_keeps_nothing(self, bundle: Path, clip: Path) -> None:
        run_example(bundle, clip)
        assert not kept_folders(bundle)


class TestExample:
    def test_it_prints_what_quantkit_reads(
        self, bundle: Path, artifact: Path, clip: Path, waveform: npt.NDArray[np.float32]
    ) -> None:
        done = run_example(bundle, clip)
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip("\n") == greedy(artifact, waveform)
        assert len(done.stdout) > 10

    def test_it_works_for_a_model_that_already_had_its_front_end(
        self,
        fused_artifact: Path,
        tmp_path: Path,
        clip: Path,
        waveform: npt.NDArray[np.float32],
    ) -> None:
        ship(fused_artifact, tmp_path / "b")
        assert run_example(tmp_path / "b", clip).stdout.strip() == greedy(fused_artifact, waveform)

    def test_it_needs_onnxruntime_and_numpy_only(self, bundle: Path) -> None:
        source = (bundle / "example.py").read_text(encoding="utf-8")
        imported = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
        # The last one only for what `wave` cannot read.
        needed = {"numpy", "onnxruntime", "soundfile"}
        assert imported - set(sys.stdlib_module_names) == needed

    def test_it_prints_pieces_as_words_and_bytes_as_characters(
        self, tmp_path: Path, clip: Path, info: ArtifactInfo, waveform: npt.NDArray[np.float32]
    ) -> None:
        pieces = Labels((" ca", "<0xC3>", "<0xA9>", "<unk>"), blank=3)
        model = tmp_path / "pieces.onnx"
        save_model(recogniser(replace(info, labels=pieces)), model)
        ship(model, tmp_path / "b")
        expected = greedy(model, waveform)
        assert "ca" in expected
        assert "<0x" not in expected
        assert run_example(tmp_path / "b", clip).stdout.rstrip("\n") == expected

    def test_it_leaves_out_what_is_never_printed(
        self, tmp_path: Path, clip: Path, info: ArtifactInfo
    ) -> None:
        labels = Labels(("_", "a", "b", "<unk>"), silent=(3,))
        model = tmp_path / "silent.onnx"
        save_model(recogniser(replace(info, labels=labels)), model)
        ship(model, tmp_path / "b")
        assert {*run_example(tmp_path / "b", clip).stdout} == {*"ab\n"}

    def test_it_prints_on_any_terminal(self, bundle: Path, clip: Path) -> None:
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(
            [sys.executable, str(bundle / "example.py"), str(clip)],
            capture_output=True,
            check=False,
            env=environment,
        )
        assert done.returncode == 0
        assert b"\\xfc" in done.stdout

    def test_it_can_be_read_at_a_glance(self, bundle: Path) -> None:
        lines = (bundle / "example.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 100
        assert max(map(len, lines)) <= 100

    def test_another_sample_rate_gets_one_clear_line(self, bundle: Path, clip: Path) -> None:
        data = bytearray(clip.read_bytes())
        data[24:28] = (8_000).to_bytes(4, "little")
        clip.write_bytes(data)
        done = run_example(bundle, clip)
        assert done.returncode == 1
        assert done.stderr.strip().endswith("has 8000 Hz, and the model needs 16000")

    @pytest.mark.parametrize(
        ("name", "subtype"),
        [("clip.wav", "FLOAT"), ("clip.wav", "PCM_24"), ("clip.flac", "PCM_16")],
    )
    def test_other_audio_is_read_with_soundfile(
        self,
        name: str,
        subtype: str,
        bundle: Path,
        tmp_path: Path,
        artifact: Path,
        waveform: npt.NDArray[np.float32],
    ) -> None:
        soundfile.write(tmp_path / name, waveform, 16_000, subtype=subtype)
        done = run_example(bundle, tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip("\n") == greedy(artifact, waveform)

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            (None, "cannot read"),
            (b"no audio at all", "not audio that can be read"),
            (b"", "not audio that can be read"),
        ],
    )
    def test_what_cannot_be_read_is_one_line(
        self, content: bytes | None, line: str, bundle: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "clip.wav"
        if content is not None:
            path.write_bytes(content)
        done = run_example(bundle, path)
        assert done.returncode == 1
        assert line in done.stderr
        assert done.stderr.count("\n") == 1

    def test_without_soundfile_it_says_what_would_help(
        self, bundle: Path, tmp_path: Path, waveform: npt.NDArray[np.float32]
    ) -> None:
        soundfile.write(tmp_path / "clip.wav", waveform, 16_000, subtype="FLOAT")
        (bundle / "soundfile.py").write_text("raise ImportError\n")
        done = run_example(bundle, tmp_path / "clip.wav")
        assert done.stderr.strip().endswith("convert it, or install soundfile")
        assert done.stderr.count("\n") == 1

    def test_a_clip_too_short_and_no_clip_at_all(self, bundle: Path, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "blip.wav", np.zeros(10), 16_000)
        done = run_example(bundle, tmp_path / "blip.wav")
        assert done.stderr.strip().endswith("is too short, of 10 samples")
        none = run_example(bundle)
        assert none.returncode == 1
        assert none.stderr.startswith("What does an audio file say?   python example.py clip.wav")

    @pytest.mark.slow
    def test_a_long_clip_is_heard_in_windows(
        self, bundle: Path, tmp_path: Path, artifact: Path
    ) -> None:
        noise = np.random.default_rng(2).integers(-9_000, 9_000, 130 * 16_000) / 32_768
        soundfile.write(tmp_path / "long.wav", noise, 16_000)
        said = run_example(bundle, tmp_path / "long.wav").stdout.rstrip("\n")
        whole = greedy(artifact, noise.astype(np.float32))
        # The front end takes the mean of a window, and not of the clip.
        assert levenshtein(whole, said) < 0.05 * len(whole)


class TestCard:
    def test_it_shows_the_bench_figures(
        self, artifact: Path, tmp_path: Path, bench_of: Callable[[Path], Path]
    ) -> None:
        ship(artifact, tmp_path / "b", bench=bench_of(artifact))
        card = (tmp_path / "b/CARD.md").read_text(encoding="utf-8")
        assert "| edits per utterance | 1.234 [1.100, 1.400] |" in card
        assert "| character (label) error rate | 7.89% [7.00%, 9.00%] |" in card
        assert "Figures are of the model without the added front end." in card

    def test_it_tells_recipe_and_limits(self, bundle: Path) -> None:
        card = (bundle / "CARD.md").read_text(encoding="utf-8")
        assert "1 layer: stored as int8 (8 bits)" in card
        assert "ab" * 32 in card
        assert "ONNX opset 18, standard operators only" in card
        assert "can depend on the clips that share its batch" in card

    def test_a_damaged_plan_is_refused_before_anything_is_written(
        self, artifact: Path, info: ArtifactInfo, tmp_path: Path
    ) -> None:
        assert info.plan is not None
        info.plan["layers"][0]["codec"] = ["int8"]
        model = onnx.load(str(artifact))
        set_info(model, info)
        save_model(model, artifact)
        with pytest.raises(ModelError, match=r"codec must be a string"):
            ship(artifact, tmp_path / "b")
        assert not (tmp_path / "b").exists()

    def test_a_range_per_clip_has_no_such_limit(
        self, artifact: Path, info: ArtifactInfo, tmp_path: Path
    ) -> None:
        assert info.plan is not None
        info.plan["layers"][0]["range"] = "dynamic per-clip"
        model = onnx.load(str(artifact))
        set_info(model, info)
        save_model(model, artifact)
        ship(artifact, tmp_path / "b")
        assert "share its batch" not in (tmp_path / "b/CARD.md").read_text(encoding="utf-8")

    def test_the_recognisers_own_card_goes_below(self, artifact: Path, tmp_path: Path) -> None:
        about = tmp_path / "README.md"
        about.write_text("# Wav2Letter\n\nTrained on speech.\n")
        ship(artifact, tmp_path / "b", about=about)
        card = (tmp_path / "b/CARD.md").read_text(encoding="utf-8")
        assert card.endswith("## About the recogniser\n\n## Wav2Letter\n\nTrained on speech.\n")

    def test_figures_of_another_file_are_refused(
        self,
        artifact: Path,
        fused_artifact: Path,
        tmp_path: Path,
        bench_of: Callable[[Path], Path],
    ) -> None:
        with pytest.raises(FormatError, match="measured only fused; run `quantkit bench`"):
            ship(artifact, tmp_path / "b", bench=bench_of(fused_artifact))
        assert not (tmp_path / "b").exists()

    def test_figures_of_an_older_version_are_refused(
        self, artifact: Path, tmp_path: Path, bench_of: Callable[[Path], Path]
    ) -> None:
        bench = bench_of(artifact)
        model = onnx.load(str(artifact))
        model.doc_string = "newer"
        save_model(model, artifact)
        with pytest.raises(FormatError, match="another version of it"):
            ship(artifact, tmp_path / "b", bench=bench)


class TestLicence:
    def test_the_given_text_wins(self, artifact: Path, tmp_path: Path) -> None:
        (tmp_path / "MY").write_text("mine\n")
        (artifact.parent / "LICENSE").write_text("beside\n")
        ship(artifact, tmp_path / "b", licence=tmp_path / "MY")
        assert (tmp_path / "b/LICENCE").read_text() == "mine\n"

    def test_a_text_beside_the_model_is_taken_if_it_is_that_of_the_metadata(
        self, artifact: Path, tmp_path: Path
    ) -> None:
        (artifact.parent / "LICENSE").write_text("CC0 1.0 Universal\n")
        ship(artifact, tmp_path / "b")
        assert (tmp_path / "b/LICENCE").read_text() == "CC0 1.0 Universal\n"

    def test_another_licence_beside_the_model_stops(self, artifact: Path, tmp_path: Path) -> None:
        (artifact.parent / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004\n")
        with pytest.raises(InputError, match=r"'CC0-1.0' by its .* holds Apache-2.0: .*--licence"):
            ship(artifact, tmp_path / "b")
        assert not (tmp_path / "b").exists()
        ship(artifact, tmp_path / "b", licence="CC0-1.0")
        assert (tmp_path / "b/LICENCE").read_text() == "Licence of this model: CC0-1.0\n"

    def test_then_the_metadata(self, bundle: Path) -> None:
        assert (bundle / "LICENCE").read_text() == "Licence of this model: CC0-1.0\n"

    def test_without_any_nothing_is_shipped(self, artifact: Path, tmp_path: Path) -> None:
        model = onnx.load(str(artifact))
        kept = [(e.key, e.value) for e in model.metadata_props if e.key != "quantkit.licence"]
        del model.metadata_props[:]
        for key, value in kept:
            model.metadata_props.add(key=key, value=value)
        save_model(model, artifact)
        with pytest.raises(InputError, match="--licence FILE"):
            ship(artifact, tmp_path / "b")


class TestDestination:
    def test_an_earlier_bundle_stays_without_force(self, bundle: Path, artifact: Path) -> None:
        before = (bundle / "manifest.json").read_bytes()
        with pytest.raises(OutputError, match="--force"):
            ship(artifact, bundle)
        assert (bundle / "manifest.json").read_bytes() == before

    def test_force_replaces_an_earlier_bundle(self, bundle: Path, fused_artifact: Path) -> None:
        ship(fused_artifact, bundle, force=True)
        assert not read_manifest(bundle).frontend_added
        verify(bundle).require(bundle)

    def test_force_does_not_replace_a_folder_that_is_no_bundle(
        self, artifact: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis/chapter1.txt").write_text("years of work")
        with pytest.raises(OutputError, match="is not a bundle"):
            ship(artifact, tmp_path / "thesis", force=True)
        assert (tmp_path / "thesis/chapter1.txt").read_text() == "years of work"

    def test_force_does_not_replace_foreign_files_in_a_bundle(
        self, artifact: Path, bundle: Path
    ) -> None:
        (bundle / "notes.txt").write_text("mine")
        with pytest.raises(OutputError, match=r"contains notes\.txt"):
            ship(artifact, bundle, force=True)
        assert (bundle / "notes.txt").read_text() == "mine"

    def test_a_file_is_not_replaced(self, artifact: Path, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("here")
        with pytest.raises(OutputError, match="is not a folder"):
            ship(artifact, tmp_path / "taken", force=True)

    def test_a_failure_leaves_the_earlier_bundle_and_no_rubbish(
        self, bundle: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full_disk(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("quantkit.bundles.bundle.write_manifest", full_disk)
        siblings = set(bundle.parent.iterdir())
        with pytest.raises(OutputError, match="No space left"):
            ship(artifact, bundle, force=True)
        verify(bundle).require(bundle)
        assert set(bundle.parent.iterdir()) == siblings


class TestUnusableModels:
    def test_no_metadata(self, anonymous: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="carries no labels"):
            ship(anonymous, tmp_path / "b")

    def test_a_model_that_does_not_run_is_not_shipped(self, artifact: Path, tmp_path: Path) -> None:
        model = onnx.load(str(artifact))
        model.graph.node[1].op_type = "Relu"
        del model.graph.node[1].attribute[:]
        save_model(model, artifact)
        with pytest.raises(ModelError, match="not log-probabilities"):
            ship(artifact, tmp_path / "b")
        assert not (tmp_path / "b").exists()

    def test_an_interpreter_that_does_not_start(self, artifact: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot run"):
            ship(artifact, tmp_path / "b", pythons=[str(tmp_path / "python9")])

    @pytest.mark.skipif(shutil.which("true") is None, reason="this system has no `true` program")
    def test_a_program_that_is_no_interpreter(self, artifact: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="true is not a Python interpreter"):
            ship(artifact, tmp_path / "b", pythons=["true"])


def test_classes_without_names_are_no_bundle(artifact: Path, tmp_path: Path) -> None:
    model = onnx.load(artifact)
    set_info(model, ArtifactInfo(task="classification"))
    save_model(model, artifact)
    with pytest.raises(ModelError, match="carries no names of classes"):
        ship(artifact, tmp_path / "bundle")


def test_models_of_tasks_that_say_nothing_of_bundles_are_none(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(CtcTask, "bundle_contents", Task.bundle_contents)
    with pytest.raises(ModelError, match="is a ctc model, and this task does not say what a"):
        ship(artifact, tmp_path / "bundle")
