"""``quantkit transcribe`` from a shell's point of view."""

from __future__ import annotations

import importlib.util
import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.exporting.frontend_graph import fuse_frontend
from quantkit.graph.artifact import load_model, save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.text.labels import Labels
from tests.cli import shell


def always_a(info: ArtifactInfo) -> onnx.ModelProto:
    """A recogniser that hears one ``a`` in whatever it is given."""
    scores = np.zeros((40, 3), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "scores"], ["silence"]),
            helper.make_node("Add", ["silence", "taste"], ["logits"]),
            helper.make_node("LogSoftmax", ["logits"], ["log_probs"]),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "always_a",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", "frames", 40]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", "frames", 3]),
            helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            numpy_helper.from_array(scores, "scores"),
            numpy_helper.from_array(np.array([0, 9, 0], np.float32), "taste"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    set_info(model, info)
    return model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    labels = Labels(("_", "a", "b"))
    save_model(always_a(ArtifactInfo(labels=labels, frontend=Frontend(), task="ctc")), path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.flac"
    noise = 0.1 * np.random.default_rng(0).standard_normal(4_000)
    soundfile.write(path, noise, 8_000)
    return path


run = partial(shell.run, "transcribe")


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_one_clip_gives_its_text_alone(
    model: Path, clip: Path, decoder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if decoder == "beam":
        pytest.importorskip("flashlight.lib.text")
    assert run(model, clip, "--decoder", decoder) == 0
    assert capsys.readouterr().out == "a\n"


def test_language_model_needs_a_beam(
    model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model, clip, "--language-model", "words.arpa") == 2
    assert "use the beam decoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--word-score=-2",), "a word score is for a language model over words"),
        (("--lm-weight", "nan"), "the weight of a language model is a finite number"),
        (("--language-model", "w.arpa", "--word-score", "inf"), "the word score of a language"),
    ],
)
def test_weights_of_a_language_model_are_checked(
    options: tuple[str, ...],
    reason: str,
    model: Path,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(model, clip, "--decoder", "beam", *options) == 2
    assert reason in capsys.readouterr().err


def test_a_window_is_auto_full_or_seconds(
    model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model, clip, "--window", "wide") == 2
    assert "--window is auto, full, or seconds of silence" in capsys.readouterr().err


def test_several_clips_are_named(
    model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model, clip, clip) == 0
    assert capsys.readouterr().out == f"{clip}: a\n{clip}: a\n"


def test_json_lines(model: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(model, clip, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["path"], result["text"], result["seconds"]) == (str(clip), "a", 0.5)
    assert result["compute_seconds"] > 0


def test_model_with_fused_front_end(
    model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(fuse_frontend(load_model(model), Frontend()), model)
    assert run(model, clip) == 0
    assert capsys.readouterr().out == "a\n"


def test_foreign_model_without_labels(
    model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(always_a(ArtifactInfo()), model)
    assert run(model, clip) == 2
    assert "the model carries no front end" in capsys.readouterr().err


@pytest.mark.parametrize("fused", [False, True])
def test_clip_shorter_than_a_window_is_named(
    model: Path, tmp_path: Path, fused: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if fused:
        save_model(fuse_frontend(load_model(model), Frontend()), model)
    soundfile.write(tmp_path / "short.wav", np.zeros(300), 16_000)
    assert run(model, tmp_path / "short.wav") == 2
    assert "short.wav: 300 samples are shorter than one window" in capsys.readouterr().err


def test_bad_files_are_named_in_one_line(
    model: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    for arguments in ((model, tmp_path / "text.wav"), (clip, clip), (tmp_path / "none", clip)):
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("quantkit: ")
        assert error.count("\n") == 1


class TestClipsThatCannotBeRead:
    @pytest.fixture
    def bad(self, tmp_path: Path) -> Path:
        path = tmp_path / "bad.wav"
        path.write_text("no sound")
        return path

    def test_the_others_are_transcribed_and_the_exit_code_is_2(
        self, model: Path, clip: Path, bad: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(model, clip, bad, clip) == 2
        said = capsys.readouterr()
        assert said.out == f"{clip}: a\n{clip}: a\n"
        assert f"quantkit: {bad} is not audio that can be read" in said.err
        assert said.err.count("not audio") == 1

    def test_also_as_json(
        self, model: Path, clip: Path, bad: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(model, bad, clip, "--json") == 2
        (line,) = capsys.readouterr().out.splitlines()
        assert json.loads(line)["text"] == "a"

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_is_never_opened(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        os.mkfifo(tmp_path / "pipe.wav")
        assert run(model, tmp_path / "pipe.wav") == 2
        assert "pipe.wav is a pipe or device" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
def test_a_name_that_is_no_utf8(
    model: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\nclip.flac"))
    try:
        odd.write_bytes(clip.read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert run(model, odd, clip) == 0
    assert capsys.readouterr().out == f"{tmp_path}/caf\\xe9\\nclip.flac: a\n{clip}: a\n"
    assert run(model, odd, "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"].endswith("caf\\xe9\\nclip.flac")


class TestWordsAndSubtitles:
    def test_json_has_words_when_they_are_asked_for(
        self, model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(model, clip, "--words", "--format", "json") == 0
        (word,) = json.loads(capsys.readouterr().out)["words"]
        # The model writes one `a` all through the clip of half a second.
        assert (word["text"], word["start"], word["end"]) == ("a", 0.0, 0.5)
        assert word["confidence"] == pytest.approx(1.0, abs=1e-3)

    def test_without_being_asked_it_has_none(
        self, model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(model, clip, "--json") == 0
        assert "words" not in json.loads(capsys.readouterr().out)

    def test_subtitles_of_one_clip_are_printed(
        self, model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(model, clip, "--format", "srt") == 0
        assert capsys.readouterr().out == "1\n00:00:00,000 --> 00:00:00,500\na\n"

    def test_those_of_several_go_into_a_folder(
        self, model: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = clip.with_name("other.flac")
        other.write_bytes(clip.read_bytes())
        assert run(model, clip, other, "--format", "vtt") == 2
        assert "-o FOLDER" in capsys.readouterr().err
        assert run(model, clip, other, "--format", "vtt", "-o", tmp_path / "texts") == 0
        assert sorted(path.name for path in (tmp_path / "texts").iterdir()) == [
            "clip.vtt",
            "other.vtt",
        ]
        assert (tmp_path / "texts/clip.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000")

    @pytest.mark.parametrize(("form", "name"), [("text", "clip.txt"), ("json", "clip.json")])
    def test_plain_texts_and_json_can_be_written_too(
        self, model: Path, clip: Path, tmp_path: Path, form: str, name: str
    ) -> None:
        assert run(model, clip, "--format", form, "-o", tmp_path / "texts") == 0
        written = (tmp_path / "texts" / name).read_text()
        assert (json.loads(written)["text"] if form == "json" else written) in ("a", "a\n")

    def test_clips_of_one_name_are_not_written_over_each_other(
        self, model: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "b").mkdir()
        other = tmp_path / "b" / "clip.wav"
        other.write_bytes(clip.read_bytes())
        assert run(model, clip, other, "-o", tmp_path / "texts") == 2
        assert "would both be called clip.txt" in capsys.readouterr().err
        assert not (tmp_path / "texts").exists()

    def test_two_forms_are_refused(
        self, model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(model, clip, "--json", "--format", "srt") == 2
        assert "choose one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--translate"], "a translation"),
        (["--language", "de"], "a language"),
        (["--timestamps"], "times"),
        (["--no-fallback"], "a fallback"),
        (["--window", "4"], "a window"),
    ],
)
def test_what_a_ctc_model_cannot_follow_is_refused(
    model: Path, clip: Path, options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model, clip, *options) == 2
    error = capsys.readouterr().err
    assert "is a ctc model, which has no use for " in error
    assert named in error


@pytest.mark.skipif(importlib.util.find_spec("silero_vad") is None, reason="needs silero-vad")
def test_with_vad_nothing_is_written_where_nobody_speaks(
    model: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The model hears an `a` in anything, and the clip is noise.
    assert run(model, clip, "--vad", "--format", "vtt") == 0
    assert capsys.readouterr().out == "WEBVTT\n"
