"""A decoder that also tells which part of the audio a token was written from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import ModelError
from quantkit.graph.artifact import model_files, open_model, save_model
from quantkit.graph.info import ArtifactInfo
from quantkit.quantization import quantize_model
from quantkit.runtime.encoder_decoder.network import ExportedNetwork
from quantkit.runtime.whisper.cross_attention import (
    CrossAttention,
    alignment_heads_of,
    with_alignment_heads,
)
from quantkit.tasks.open import open_speech_model
from quantkit.text.decoding import Decoding
from tests.whisper import exported_whisper

PROMPT, TEXT = [50_258, 50_259, 50_359, 50_363], [40, 50, 60]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_whisper(tmp_path_factory)


@pytest.mark.slow
class TestReading:
    def test_it_gives_the_numbers_of_the_decoder(self, exported: Path) -> None:
        encoder, decoder = model_files(exported)
        network = ExportedNetwork.load(encoder, decoder)
        features = np.random.default_rng(0).normal(size=(1, 80, 400)).astype(np.float32)
        encoded = network.encode(features)
        reading = CrossAttention.load(decoder).read(encoded, PROMPT, TEXT)
        positions = np.arange(3, 7)
        rows = network.read(features, np.array([[*PROMPT, *TEXT]]), positions)[0]
        np.testing.assert_allclose(reading.log_probs, rows[[0, 1, 2], TEXT], atol=1e-4)
        # Two layers of two heads; of the upper half, one. Three tokens and the end; 200 positions.
        assert reading.weights.shape == (2, 4, 200)
        np.testing.assert_allclose(reading.weights.sum(axis=2), 1.0, atol=1e-5)

    def test_named_heads_are_taken(self, exported: Path) -> None:
        encoder, decoder = model_files(exported)
        network = ExportedNetwork.load(encoder, decoder)
        encoded = network.encode(np.ones((1, 80, 400), np.float32))
        usual, first = (
            CrossAttention.load(decoder, heads).read(encoded, PROMPT, TEXT).weights
            for heads in ((), ((0, 1), (1, 0), (9, 9)))
        )
        assert len(first) == 2
        np.testing.assert_array_equal(first[1], usual[0])

    def test_a_quantized_decoder_has_them_too(self, exported: Path, tmp_path: Path) -> None:
        noise = 0.1 * np.random.default_rng(0).standard_normal(24_000)
        soundfile.write(tmp_path / "clip.wav", noise, 16_000)
        clip = Utterance(tmp_path / "clip.wav", language="en")
        quantize_model(exported, tmp_path / "int8.onnx", "hybrid", Corpus("noise", (clip,)))
        decoding = Decoding(language="en", temperatures=(0.0,), words=True)
        model = open_speech_model(tmp_path / "int8.onnx", decoding=decoding)
        (output,) = model.outputs([model.features(clip)])
        words = model.words_of(output, 1.5)
        assert " ".join(word.text for word in words) == " ".join(model.text_of(output).split())
        assert all(0 <= word.start <= word.end <= 1.5 for word in words)

    def test_one_whose_attention_is_an_operator_is_named(
        self, exported: Path, tmp_path: Path
    ) -> None:
        _, decoder = model_files(exported)
        model = onnx.load(str(decoder))
        for node in model.graph.node:
            if node.op_type == "Softmax":
                node.op_type, node.domain = "Other", "somebody"
        onnx.save(model, str(tmp_path / "other.onnx"))
        with pytest.raises(ModelError, match="cross-attention is not in the graph"):
            CrossAttention.load(tmp_path / "other.onnx")

    def test_weights_may_lie_in_a_file_of_their_own(self, exported: Path, tmp_path: Path) -> None:
        save_model(open_model(exported), tmp_path / "large.onnx", external_threshold=1)
        _, decoder = model_files(tmp_path / "large.onnx")
        encoded = ExportedNetwork.load(*model_files(tmp_path / "large.onnx")).encode(
            np.ones((1, 80, 400), np.float32)
        )
        one = CrossAttention.load(decoder).read(encoded, PROMPT, TEXT)
        two = CrossAttention.load(model_files(exported)[1]).read(encoded, PROMPT, TEXT)
        np.testing.assert_array_equal(one.weights, two.weights)


class TestHeadsInMetadata:
    def test_they_come_back(self) -> None:
        info = with_alignment_heads(ArtifactInfo(), [(1, 0), (3, 5)])
        assert alignment_heads_of(info) == ((1, 0), (3, 5))

    def test_nobody_named_any(self) -> None:
        assert alignment_heads_of(ArtifactInfo()) == ()

    @pytest.mark.parametrize("text", ["", "[1]", "{}{", '[["a", 1]]', "[[1, 2, 3]]"])
    def test_damaged_ones_are_refused(self, text: str) -> None:
        with pytest.raises(ModelError, match="no list of heads"):
            alignment_heads_of(ArtifactInfo(extra={"alignment_heads": text}))
