"""Moonshine from transformers: an artifact that writes what transformers writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import quantkit  # noqa: E402
from quantkit.audio.waveform_frontend import WaveformFrontend  # noqa: E402
from quantkit.errors import InputError  # noqa: E402
from quantkit.exporting.sources import ExportOptions, export_source  # noqa: E402
from quantkit.graph.artifact import graph_roles, load_model, read_info, total_size  # noqa: E402
from quantkit.graph.layers import find_layers  # noqa: E402
from quantkit.quantization.choices.presets import PRESETS  # noqa: E402
from quantkit.tasks.open import open_speech_model  # noqa: E402
from tests.moonshine_pretrained import PIECES, said_by_transformers, save, tiny  # noqa: E402
from tests.parakeet import noise  # noqa: E402

pytestmark = pytest.mark.slow

CLIPS = noise(0.9, 2.3, 1.6)


class Exported(NamedTuple):
    model: Any
    folder: Path
    path: Path
    parity: Any


def exported_from(place: Path, **settings: Any) -> Exported:
    model = tiny(**settings)
    folder, path = save(place / "theirs", model), place / "ours.onnx"
    return Exported(model, folder, path, export_source(str(folder), path, ExportOptions()))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported_from(tmp_path_factory.mktemp("moonshine"))


def written(path: Path) -> list[str]:
    model = open_speech_model(path)
    return [model.text_of(output) for output in model.outputs(CLIPS)]


def test_texts_get_what_transformers_gives_them(exported: Exported) -> None:
    assert exported.parity.worst.difference < 1e-4
    # Whole texts and several hypotheses, and token by token.
    assert {case.batch_size for case in exported.parity.cases} == {1, 3}


def test_greedy_texts_are_those_of_transformers(exported: Exported) -> None:
    expected = [said_by_transformers(exported.model, clip) for clip in CLIPS]
    assert len({*expected}) == len(CLIPS)
    assert written(exported.path) == expected


def test_words_have_times_and_confidence(exported: Exported) -> None:
    model = open_speech_model(exported.path, decoding=quantkit.Decoding(words=True))
    texts = written(exported.path)
    for clip, output, text in zip(CLIPS, model.outputs(CLIPS), texts, strict=True):
        seconds = len(clip) / 16_000
        assert model.text_of(output) == text
        words = model.words_of(output, seconds)
        assert " ".join(word.text for word in words) == " ".join(text.split())
        assert all(0 <= word.start <= word.end <= seconds for word in words)
        assert [word.start for word in words] == sorted(word.start for word in words)
        assert all(0 < word.confidence <= 1 for word in words)
    unasked = open_speech_model(exported.path)
    assert unasked.words_of(unasked.outputs(CLIPS[:1])[0], 0.9) == ()


def test_times_of_a_long_clip_are_those_of_the_whole(exported: Exported) -> None:
    model = open_speech_model(exported.path, decoding=quantkit.Decoding(words=True))
    clip = np.concatenate([*CLIPS] * 9)[: 41 * 16_000]
    (output,) = model.outputs([clip])
    assert {*output["piece"].tolist()} == {0, 1}
    assert output["end"][output["piece"] == 0].max() <= 30
    assert output["start"][output["piece"] == 1].min() >= 30
    (alone,) = model.outputs([clip[30 * 16_000 :]])
    behind = output[output["piece"] == 1]
    assert behind["start"] - 30 == pytest.approx(alone["start"])


def test_metadata_describe_the_model(exported: Exported) -> None:
    info = read_info(exported.path)
    assert (info.task, info.licence, info.fused) == ("moonshine", "mit", True)
    assert info.frontend == WaveformFrontend(16_000, 895)
    assert info.labels is not None
    assert info.labels.decode([1, 11, 6, 17]) == "stopeA"
    assert len(info.labels) == len(PIECES) + 3
    assert [role.role for role in graph_roles(exported.path)] == ["encoder", "decoder"]


def test_the_embedding_is_stored_once(exported: Exported) -> None:
    layers = {layer.name: layer for layer in find_layers(load_model(exported.path))}
    assert layers["decoder.projection"].weight == layers["decoder.embed_tokens"].weight


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "float32"])
def test_every_preset_makes_a_smaller_model_that_writes(
    exported: Exported, preset: str, tmp_path: Path
) -> None:
    small = tmp_path / "small.onnx"
    quantkit.quantize(exported.path, small, preset, CLIPS, sample_rate=16_000)
    assert total_size(small) < total_size(exported.path)
    assert any(written(small))


def test_it_is_personalised_to_a_budget(exported: Exported, tmp_path: Path) -> None:
    budget = round(0.75 * total_size(exported.path))
    made = quantkit.personalize(
        exported.path, tmp_path / "user.onnx", CLIPS, f"{budget}B", sample_rate=16_000
    )
    assert made.summary.size_bytes <= budget
    assert any(written(tmp_path / "user.onnx"))


@pytest.mark.parametrize(
    "settings",
    [
        {"tie_word_embeddings": False, "attention_bias": True},
        {"pad_head_dim_to_multiple_of": 8, "partial_rotary_factor": 0.62},
        {"encoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    ],
)
def test_other_configurations_are_followed(settings: dict[str, Any], tmp_path: Path) -> None:
    made = exported_from(tmp_path, **settings)
    assert made.parity.worst.difference < 1e-4
    assert written(made.path) == [said_by_transformers(made.model, clip) for clip in CLIPS]


class TestRefusals:
    @pytest.fixture
    def folder(self, exported: Exported, tmp_path: Path) -> Path:
        return Path(shutil.copytree(exported.folder, tmp_path / "theirs"))

    def refused(self, folder: Path, **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            export_source(str(folder), folder.with_name("x.onnx"), ExportOptions(**options))
        assert not folder.with_name("x.onnx").exists()
        return str(caught.value)

    def edit(self, path: Path, **changes: object) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def test_keys_with_fewer_heads(self, folder: Path) -> None:
        self.edit(folder / "config.json", decoder_num_key_value_heads=2)
        assert "decoder_num_key_value_heads is 2" in self.refused(folder)

    def test_another_end_of_texts(self, folder: Path) -> None:
        self.edit(folder / "config.json", eos_token_id=5)
        assert "end with 5, but the end is token 2" in self.refused(folder)

    def test_no_tokens(self, folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        assert "has no tokenizer.json or tokens.txt" in self.refused(folder)

    def test_normalised_clips(self, folder: Path) -> None:
        self.edit(folder / "preprocessor_config.json", do_normalize=True)
        assert "do_normalize is not supported" in self.refused(folder)

    def test_options_of_other_kinds(self, folder: Path) -> None:
        assert "--window is for a Whisper" in self.refused(folder, window=1.0)
