"""Batches keep their clips' true lengths; models that are no recognisers are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Utterance
from quantkit.errors import InputError, ModelError
from quantkit.exporting.frontend_graph import fuse_frontend
from quantkit.graph.artifact import load_model, save_model
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.recognizer import Recognizer
from quantkit.text.decoders import greedy_decoder
from quantkit.text.decoding import Decoding
from quantkit.text.labels import Labels
from quantkit.text.words import Word


def noise(*shape: int, loudness: float = 1.0) -> FloatArray:
    samples = np.random.default_rng(0).standard_normal(shape)
    return (loudness * samples).astype(np.float32)


@pytest.fixture
def fused(artifact: Path) -> Path:
    path = artifact.with_name("fused.onnx")
    save_model(fuse_frontend(load_model(artifact), Frontend()), path)
    return path


def test_each_clip_gets_its_own_frames_back(artifact: Path) -> None:
    recognizer = Recognizer.load(artifact)
    clips = [noise(n, 40) for n in (5, 1, 9)]
    together = recognizer.log_probs(clips)
    assert [rows.shape for rows in together] == [(5, 3), (1, 3), (9, 3)]
    for clip, rows in zip(clips, together, strict=True):
        np.testing.assert_array_equal(rows, recognizer.log_probs([clip])[0])


def test_no_clips_no_answers(artifact: Path) -> None:
    assert Recognizer.load(artifact).log_probs([]) == []


def test_features_of_a_waveform_and_of_an_utterance(artifact: Path, tmp_path: Path) -> None:
    recognizer = Recognizer.load(artifact)
    waveform = noise(8_000, loudness=0.1)
    soundfile.write(tmp_path / "clip.wav", waveform, 16_000, subtype="FLOAT")
    expected = Frontend()(waveform)
    np.testing.assert_array_equal(recognizer.features(waveform), expected)
    from_file = recognizer.features(Utterance(tmp_path / "clip.wav"))
    np.testing.assert_allclose(from_file, expected, atol=1e-4)
    ready = noise(7, 40)
    np.testing.assert_array_equal(recognizer.features(Utterance(None, features=ready)), ready)


def test_fused_model_takes_waveforms(fused: Path, artifact: Path, tmp_path: Path) -> None:
    recognizer, plain = Recognizer.load(fused), Recognizer.load(artifact)
    clips = [noise(8_000, loudness=0.1), noise(500, loudness=0.1)]
    found = recognizer.log_probs([recognizer.features(clip) for clip in clips])
    expected = plain.log_probs([plain.features(clip) for clip in clips])
    for rows, others in zip(found, expected, strict=True):
        np.testing.assert_allclose(rows, others, atol=1e-4)
    with pytest.raises(InputError, match="the model takes waveforms"):
        recognizer.features(Utterance(None, features=noise(7, 40), name="a"))


def test_clips_of_the_wrong_shape(artifact: Path, fused: Path) -> None:
    with pytest.raises(InputError, match=r"shape \(5, 80\) does not fit .* \(length, 40\)"):
        Recognizer.load(artifact).log_probs([noise(5, 80)])
    with pytest.raises(InputError, match=r"shape \(5, 40\) does not fit .* \(length\)"):
        Recognizer.load(fused).log_probs([noise(5, 40)])


def spelled(path: Path, *, check: bool = True) -> str:
    """What the model at ``path`` reads from a fixed clip."""
    recognizer = Recognizer.load(path, check=check)
    (log_probs,) = recognizer.log_probs([noise(30, 40)])
    return greedy_decoder(recognizer.labels)(log_probs)


def flips(content: bytes) -> Iterator[bytes]:
    """``content`` with one bit of one byte flipped, and with all of them, for every byte."""
    for position in range(len(content)):
        for bits in (1 << position % 8, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= bits
            yield bytes(damaged)


@pytest.mark.slow
def test_no_flipped_byte_gives_another_transcript_in_silence(artifact: Path) -> None:
    for damaged in flips(artifact.read_bytes()):
        artifact.write_bytes(damaged)
        with pytest.raises(ModelError):
            spelled(artifact)


def test_without_the_checksum_some_would(artifact: Path) -> None:
    sound, content = spelled(artifact), artifact.read_bytes()
    # The number of the first feature that the model looks at: 1 instead of 0, and 4 instead of 3.
    content = content.replace(b"fromJ\x08\x00", b"fromJ\x08\x01")
    artifact.write_bytes(content.replace(b"toJ\x08\x03", b"toJ\x08\x04"))
    assert spelled(artifact, check=False) not in ("", sound)


@pytest.mark.slow
def test_no_cut_gives_a_transcript(artifact: Path) -> None:
    content = artifact.read_bytes()
    for kept in range(len(content)):
        artifact.write_bytes(content[:kept])
        with pytest.raises(ModelError):
            spelled(artifact)


def test_model_without_metadata_runs_but_has_no_labels(anonymous: Path) -> None:
    recognizer = Recognizer.load(anonymous)
    assert recognizer.log_probs([noise(4, 40)])[0].shape == (4, 3)
    with pytest.raises(ModelError, match=r"no labels .*quantkit export"):
        _ = recognizer.labels
    with pytest.raises(ModelError, match=r"no front end .*quantkit export"):
        _ = recognizer.frontend


def test_foreign_inputs_are_named(artifact: Path) -> None:
    model = load_model(artifact)
    model.graph.input[0].name = "pixels"
    model.graph.node[0].input[0] = "pixels"
    save_model(model, artifact)
    with pytest.raises(ModelError, match=r"not a quantkit recogniser: .*\['lengths', 'pixels'\]"):
        Recognizer.load(artifact)


@pytest.mark.parametrize(
    ("name", "operator", "inputs"),
    [
        ("log_probs", "ReduceMax", ["kept.log_probs"]),
        ("output_lengths", "ReduceMax", ["kept.output_lengths"]),
        ("output_lengths", "Sub", ["kept.output_lengths", "many"]),
        ("output_lengths", "Cast", ["kept.output_lengths"]),
    ],
)
def test_outputs_of_other_shapes_and_types_are_named(
    artifact: Path, name: str, operator: str, inputs: list[str]
) -> None:
    model = load_model(artifact)
    for node in model.graph.node:
        node.output[:] = [f"kept.{n}" if n == name else n for n in node.output]
        node.input[:] = [f"kept.{n}" if n == name else n for n in node.input]
    attributes: dict[str, Any] = {"ReduceMax": {"keepdims": 0}, "Cast": {"to": TensorProto.FLOAT}}
    node = helper.make_node(operator, inputs, [name], **attributes.get(operator, {}))
    model.graph.node.append(node)
    model.graph.initializer.append(helper.make_tensor("many", TensorProto.INT64, [], [1_000]))
    for value in model.graph.output:
        if value.name == name:
            value.type.tensor_type.ClearField("shape")
            if operator == "Cast":
                value.type.tensor_type.elem_type = TensorProto.FLOAT
    save_model(model, artifact)
    with pytest.raises(ModelError, match=f"output {name} (must have|is no number of frames)"):
        Recognizer.load(artifact).log_probs([noise(5, 40)])


class TestWords:
    """Of four frames of a clip of two seconds: blank, h, i i."""

    def words(self, labels: Labels, path: list[int], decoder: str = "greedy") -> tuple[Word, ...]:
        rows = np.full((len(path), len(labels)), 0.01, np.float32)
        rows[np.arange(len(path)), path] = 1 - 0.01 * (len(labels) - 1)
        decoding = Decoding(decoder, words=True)
        model = Recognizer(ArtifactInfo(labels=labels), None, decoding)  # type: ignore[arg-type]
        return model.words_of(np.log(rows), seconds=2.0)

    def test_letters_make_words(self) -> None:
        labels = Labels(("_", " ", "h", "i"))
        first, second = self.words(labels, [0, 2, 3, 3, 1, 1, 3, 0])
        assert (first.text, first.start, first.end) == ("hi", 0.25, 1.0)
        assert (second.text, second.start, second.end) == ("i", 1.5, 1.75)
        assert first.confidence == pytest.approx(0.97, abs=1e-3)

    def test_phonemes_are_words_each(self) -> None:
        labels = Labels(("_", "AA", "K"), separator=" ")
        assert [word.text for word in self.words(labels, [2, 1])] == ["K", "AA"]

    def test_labels_without_spaces_are_words_each(self) -> None:
        assert [word.text for word in self.words(Labels(("_", "你", "好")), [1, 2])] == ["你", "好"]

    def test_silent_labels_are_none(self) -> None:
        labels = Labels(("_", "<unk>", "a", " "), silent=(1,))
        assert [word.text for word in self.words(labels, [2, 1, 3, 2])] == ["a", "a"]

    def test_nobody_asked(self) -> None:
        model = Recognizer(ArtifactInfo(labels=Labels.english()), None)  # type: ignore[arg-type]
        assert model.words_of(np.zeros((4, 29), np.float32), 2.0) == ()

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    def test_they_write_the_text(self, path: list[int]) -> None:
        labels = Labels(("_", " ", "h", "i"))
        rows = np.log(np.eye(4, dtype=np.float32)[path] * 0.96 + 0.01)
        words = " ".join(word.text for word in self.words(labels, path))
        assert words == greedy_decoder(labels)(rows)
