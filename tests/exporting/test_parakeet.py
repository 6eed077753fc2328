"""Parakeet from transformers: CTC, RNN-T and TDT as artifacts that say what transformers says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import save_file  # noqa: E402

import quantkit  # noqa: E402
from quantkit.audio.nemo_frontend import NemoFrontend  # noqa: E402
from quantkit.disk.files import sha256_of  # noqa: E402
from quantkit.errors import CheckpointError, InputError  # noqa: E402
from quantkit.exporting.sources import ExportOptions, export_source  # noqa: E402
from quantkit.graph.artifact import graph_roles, load_model, read_info, total_size  # noqa: E402
from quantkit.graph.layers import find_layers  # noqa: E402
from quantkit.quantization.choices.presets import PRESETS  # noqa: E402
from quantkit.tasks.open import open_speech_model  # noqa: E402
from tests.parakeet import PIECES, noise, said_by_transformers, save, tiny  # noqa: E402

pytestmark = pytest.mark.slow

ARCHITECTURES = ("ParakeetForCTC", "ParakeetForRNNT", "ParakeetForTDT")
TRANSDUCERS = ARCHITECTURES[1:]
CLIPS = noise(0.9, 2.3, 1.6)


class Exported(NamedTuple):
    model: Any
    folder: Path
    path: Path
    parity: Any


@pytest.fixture(scope="module", params=ARCHITECTURES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    place = tmp_path_factory.mktemp("parakeet")
    model = tiny(request.param)
    folder, path = save(place / "theirs", model), place / "ours.onnx"
    return Exported(model, folder, path, export_source(str(folder), path, ExportOptions()))


def written(path: Path, clips: list[Any]) -> list[str]:
    """Texts of a batch by the artifact at ``path``."""
    model = open_speech_model(path)
    frontend = model.info.frontend
    assert frontend is not None
    heard = clips if model.info.fused else [frontend(clip) for clip in clips]
    return [model.text_of(output) for output in model.outputs(heard)]


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_every_batch_gives_what_transformers_gives_for_each_clip_alone(exported: Exported) -> None:
    assert exported.parity.reference == "transformers"
    assert {case.batch_size for case in exported.parity.cases} == {1, 2, 5}
    assert exported.parity.worst.difference < 1e-4


def test_greedy_texts_are_those_of_transformers(exported: Exported) -> None:
    expected = [said_by_transformers(exported.model, clip) for clip in CLIPS]
    assert all(expected)
    assert len({*expected}) == len(CLIPS)
    assert written(exported.path, CLIPS) == expected
    assert [written(exported.path, [clip])[0] for clip in CLIPS] == expected


def test_metadata_describe_the_model(exported: Exported) -> None:
    info = read_info(exported.path)
    is_ctc = "CTC" in type(exported.model).__name__
    assert (info.task, info.licence) == ("ctc" if is_ctc else "transducer", "cc-by-4.0")
    assert info.frontend == NemoFrontend(mel_bands=16)
    assert info.labels is not None
    assert info.labels.blank == len(info.labels) - 1
    assert info.model_sha256 == sha256_of(exported.folder / "model.safetensors")


def test_layers_have_the_names_of_their_modules(exported: Exported) -> None:
    names = {layer.name for layer in find_layers(load_model(exported.path))}
    assert {
        "encoder.subsampling.layers.0",
        "encoder.subsampling.linear",
        "encoder.layers.1.self_attn.relative_k_proj",
        "encoder.layers.1.conv.depthwise_conv",
        "encoder.layers.1.feed_forward2.linear2",
    } <= names
    if "CTC" not in type(exported.model).__name__:
        assert {
            "predictor.embedding",
            "predictor.lstm.1.W",
            "predictor.lstm.1.R",
            "joiner.head",
        } <= names
        assert [role.role for role in graph_roles(exported.path)] == [
            "encoder",
            "predictor",
            "joiner",
        ]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "float32"])
def test_every_preset_makes_a_smaller_file_that_writes(
    exported: Exported, preset: str, tmp_path: Path
) -> None:
    small = tmp_path / "small.onnx"
    quantkit.quantize(exported.path, small, preset, CLIPS, sample_rate=16_000)
    # Of tiny models most bytes are nodes.
    assert total_size(small) < total_size(exported.path)
    texts = written(small, CLIPS)
    assert any(texts)
    if preset == "dynamic-int8":
        assert sum(map(str.__eq__, texts, written(exported.path, CLIPS))) >= 1


def test_it_is_personalised_to_a_budget(exported: Exported, tmp_path: Path) -> None:
    budget = round(0.62 * total_size(exported.path))
    made = quantkit.personalize(
        exported.path, tmp_path / "user.onnx", CLIPS, f"{budget}B", sample_rate=16_000
    )
    assert made.summary.size_bytes <= budget
    assert total_size(tmp_path / "user.onnx") == made.summary.size_bytes
    assert any(written(tmp_path / "user.onnx", CLIPS))


def test_the_front_end_may_be_a_part_of_a_ctc_model(tmp_path: Path) -> None:
    model = tiny("ParakeetForCTC")
    folder, path = save(tmp_path / "theirs", model), tmp_path / "ours.onnx"
    export_source(str(folder), path, ExportOptions(with_frontend=True))
    assert read_info(path).fused
    assert written(path, CLIPS) == [said_by_transformers(model, clip) for clip in CLIPS]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "settings",
    [
        {"attention_bias": False, "convolution_bias": False, "scale_input": False},
        {"subsampling_factor": 4, "subsampling_conv_kernel_size": 5},
    ],
)
def test_other_configurations_are_followed(
    architecture: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    model = tiny(architecture, settings)
    path = tmp_path / "ours.onnx"
    parity = export_source(str(save(tmp_path / "theirs", model)), path, ExportOptions())
    assert parity.worst.difference < 1e-4
    assert written(path, CLIPS) == [said_by_transformers(model, clip) for clip in CLIPS]


class TestRefusals:
    @pytest.fixture(scope="class", params=TRANSDUCERS)
    def saved(self, request: pytest.FixtureRequest, tmp_path_factory: Any) -> Path:
        return save(tmp_path_factory.mktemp("saved") / "theirs", tiny(request.param))

    @pytest.fixture
    def folder(self, saved: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(saved, tmp_path / "theirs"))

    def refused(self, folder: Path, **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            export_source(str(folder), folder.with_name("x.onnx"), ExportOptions(**options))
        assert not folder.with_name("x.onnx").exists()
        return str(caught.value)

    def test_a_blank_that_is_no_token(self, folder: Path) -> None:
        edit(folder / "config.json", blank_token_id=400)
        assert "blank_token_id must be one of the" in self.refused(folder)

    def test_another_vocabulary(self, folder: Path) -> None:
        tokens = json.loads((folder / "tokenizer.json").read_text())
        tokens["model"]["vocab"] = {name: i for i, name in enumerate(PIECES[:5])}
        tokens["added_tokens"] = []
        (folder / "tokenizer.json").write_text(json.dumps(tokens))
        assert f"but the model has {len(PIECES) + 2}" in self.refused(folder)

    def test_another_pre_emphasis(self, folder: Path) -> None:
        path = folder / "processor_config.json"
        settings = json.loads(path.read_text())
        settings["feature_extractor"]["preemphasis"] = 0.5
        path.write_text(json.dumps(settings))
        assert "preemphasis is 0.5" in self.refused(folder)

    def test_bands_that_are_not_the_encoder_s(self, folder: Path) -> None:
        path = folder / "processor_config.json"
        settings = json.loads(path.read_text())
        settings["feature_extractor"]["feature_size"] = 40
        path.write_text(json.dumps(settings))
        assert "takes 16 bands, and its feature extractor makes 40" in self.refused(folder)

    def test_options_of_other_kinds(self, folder: Path) -> None:
        assert "--with-frontend is for" in self.refused(folder, with_frontend=True)
        assert "--window is for a Whisper" in self.refused(folder, window=1.0)

    def test_an_endless_size(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["encoder_config"]["hidden_size"] = 10**9
        (folder / "config.json").write_text(json.dumps(config))
        assert "hidden_size must be a whole number" in self.refused(folder)


def test_an_adapter_is_merged_into_a_transducer(tmp_path: Path) -> None:
    base = save(tmp_path / "base", tiny("ParakeetForTDT"))
    name = "encoder.layers.0.feed_forward1.linear1"
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 32, generator=generator), torch.randn(48, 2, generator=generator)
    prefix = f"base_model.model.{name}.lora"
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    save_file(
        {f"{prefix}_A.weight": first, f"{prefix}_B.weight": second},
        adapter / "adapter_model.safetensors",
    )
    config = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "base_model_name_or_path": str(base),
    }
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    export_source(str(adapter), tmp_path / "ours.onnx", ExportOptions())
    merged = tiny("ParakeetForTDT")
    with torch.no_grad():
        merged.get_parameter(f"{name}.weight").add_(2.0 * second @ first)
    expected = [said_by_transformers(merged, clip) for clip in CLIPS]
    assert written(tmp_path / "ours.onnx", CLIPS) == expected
    assert expected != [said_by_transformers(tiny("ParakeetForTDT"), clip) for clip in CLIPS]


def test_durations_that_skip_a_number_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "theirs", tiny("ParakeetForTDT", durations=[0, 1, 2, 4]))
    with pytest.raises(CheckpointError, match="durations must be 0, 1, 2, …"):
        export_source(str(folder), tmp_path / "x.onnx", ExportOptions())


@pytest.mark.parametrize("architecture", TRANSDUCERS)
def test_a_frame_ends_with_as_many_labels_as_it_may_add(architecture: str, tmp_path: Path) -> None:
    """NeMo's rule for both kinds; transformers has none for a TDT."""
    model = tiny(architecture, max_symbols_per_step=3)
    with torch.no_grad():
        model.joint.head.bias[PIECES.index("s")] += 50.0
        # No duration.
        model.joint.head.bias[model.config.vocab_size : model.config.vocab_size + 1] += 50.0
    folder, path = save(tmp_path / "theirs", model), tmp_path / "ours.onnx"
    export_source(str(folder), path, ExportOptions())
    (text,) = written(path, CLIPS[:1])
    frames = 1 + (round(0.9 * 100) - 1) // 8
    assert text == "s" * (3 * frames)
    if architecture == "ParakeetForRNNT":
        assert said_by_transformers(model, CLIPS[0]) == text


def test_the_frontend_s_features_are_numbers(exported: Exported) -> None:
    frontend = read_info(exported.path).frontend
    assert frontend is not None
    assert np.isfinite(frontend(CLIPS[0])).all()
