"""Folders of transformers load, and what is wrong with one is said in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from quantkit.audio.waveform_frontend import WaveformFrontend  # noqa: E402
from quantkit.disk.files import sha256_of  # noqa: E402
from quantkit.errors import CheckpointError  # noqa: E402
from quantkit.models.pretrained import load_pretrained  # noqa: E402
from tests.pretrained import CLASSES, save, tiny  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "model", tiny("Wav2Vec2ForCTC"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_all_that_belongs_to_a_model_is_read(folder: Path) -> None:
    loaded = load_pretrained(folder)
    assert loaded.architecture.task == "ctc"
    assert loaded.labels is not None
    assert loaded.labels.decode([9, 8, 4, 6, 8]) == "NO TO"
    assert (loaded.frontend, loaded.standardized) == (WaveformFrontend(16_000, 30), True)
    assert loaded.sha256 == sha256_of(folder / "model.safetensors")
    assert loaded.licence == "apache-2.0"
    assert not loaded.model.training


def test_a_classifier_names_its_classes(tmp_path: Path) -> None:
    loaded = load_pretrained(save(tmp_path, tiny("WavLMForSequenceClassification")))
    assert (loaded.labels, loaded.classes) == (None, CLASSES)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    loaded = load_pretrained(save(tmp_path, tiny("HubertForCTC").half()))
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_weights_may_be_several_files(tmp_path: Path) -> None:
    model = tiny("Wav2Vec2ForCTC")
    folder = save(tmp_path, model, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    loaded = load_pretrained(folder).model.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())


def test_a_state_dict_is_read_without_running_code(folder: Path) -> None:
    model = load_pretrained(folder).model
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    assert load_pretrained(folder).labels is not None

    class Surprise:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return Path(folder / "surprise").write_text, ("ran",)  # type: ignore[return-value]

    torch.save({"weight": Surprise()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_pretrained(folder)
    assert not (folder / "surprise").exists()


def test_the_newer_place_of_the_feature_extractor(folder: Path) -> None:
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    content = {"feature_extractor": {**settings, "sampling_rate": 8_000, "do_normalize": False}}
    (folder / "processor_config.json").write_text(json.dumps(content))
    loaded = load_pretrained(folder)
    assert (loaded.frontend.sample_rate, loaded.standardized) == (8_000, False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "is not a model: it has no config.json"),
        ("vocab.json", "has no vocab.json"),
        ("model.safetensors", "has no weights"),
    ],
)
def test_a_missing_file_is_named(folder: Path, name: str, message: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(folder)


@pytest.mark.parametrize("kept", [0, 5, 300, 20_000])
def test_half_downloaded_weights_are_named(folder: Path, kept: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"truncated.* fetch it again"):
        load_pretrained(folder)


def test_a_half_downloaded_state_dict_is_named(folder: Path) -> None:
    state = load_pretrained(folder).model.state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, weights := folder / "pytorch_model.bin")
    weights.write_bytes(weights.read_bytes()[:-1_000])
    with pytest.raises(CheckpointError, match=r"truncated.* fetch it again"):
        load_pretrained(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.json", "config.json"])
def test_a_git_lfs_pointer_is_no_file(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    with pytest.raises(CheckpointError, match=r"Git-LFS pointer.*git lfs pull"):
        load_pretrained(folder)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path, tiny("Wav2Vec2ForCTC"), max_shard_size="20KB")
    lost = sorted(folder.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(CheckpointError, match=f"lacks {lost.name}"):
        load_pretrained(folder)


def test_a_shard_outside_the_folder_is_refused(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}})
    )
    with pytest.raises(CheckpointError, match="outside its folder"):
        load_pretrained(folder)


def test_an_unknown_architecture_is_named_with_those_that_are_known(folder: Path) -> None:
    edit(folder / "config.json", architectures=["BertForMaskedLM"])
    with pytest.raises(
        CheckpointError, match=r"\(BertForMaskedLM\); known: Canary.*Data2Vec.*WavLMForSeq.*Whis"
    ):
        load_pretrained(folder)
    edit(folder / "config.json", architectures=None)
    with pytest.raises(CheckpointError, match="model_type 'wav2vec2', no architectures"):
        load_pretrained(folder)


def test_weights_of_another_head_are_refused(folder: Path) -> None:
    edit(folder / "config.json", architectures=["Wav2Vec2ForSequenceClassification"])
    with pytest.raises(CheckpointError, match=r"lacks tensor .* it is not a Wav2Vec2ForSequence"):
        load_pretrained(folder)


def test_weights_of_another_size_are_refused(folder: Path) -> None:
    edit(folder / "config.json", hidden_size=32)
    with pytest.raises(CheckpointError, match=r"tensor \S+ has shape .* config.json requires"):
        load_pretrained(folder)


def test_without_settings_of_a_front_end_those_of_transformers_hold(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "preprocessor_config.json").unlink()
    loaded = load_pretrained(folder)
    assert (loaded.frontend, loaded.standardized) == (WaveformFrontend(16_000, 30), True)
    assert "has no preprocessor_config.json" in caplog.text


def test_a_language_model_beside_it_is_noted(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "language_model").mkdir()
    assert load_pretrained(folder).labels is not None
    assert "can be given with --language-model" in caplog.text


@pytest.mark.parametrize(
    ("name", "library"), [("tf_model.h5", "TensorFlow"), ("flax_model.msgpack", "Flax")]
)
def test_weights_of_other_libraries_are_left_alone(folder: Path, name: str, library: str) -> None:
    (folder / name).write_bytes(b"theirs")
    assert load_pretrained(folder).labels is not None
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=f"weights for {library} only"):
        load_pretrained(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_precision_becomes_single(tmp_path: Path, dtype: torch.dtype) -> None:
    loaded = load_pretrained(save(tmp_path, tiny("Wav2Vec2ForCTC").to(dtype)))
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_code_in_a_folder_is_never_run(folder: Path) -> None:
    (folder / "theirs.py").write_text("raise SystemExit('ran')")
    edit(folder / "config.json", auto_map={"AutoModelForCTC": "theirs.Model"})
    assert load_pretrained(folder).labels is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_kernel": 5}, "conv_kernel must be a list with a number for each convolution"),
        ({"conv_kernel": [10, "3", 2]}, "conv_kernel must have whole numbers .*, not '3'"),
        ({"conv_stride": [5, 2]}, "3 in conv_kernel, 2 in conv_stride"),
        ({"conv_dim": []}, "conv_dim must be a list"),
        ({"hidden_size": -16}, "hidden_size must be a whole number from 1 to 65536, not -16"),
        ({"hidden_size": "16"}, "hidden_size must be a whole number"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers must be .* to 256"),
        ({"vocab_size": None}, "vocab_size must be a whole number"),
        ({"vocab_size": 10**300}, "vocab_size must be a whole number"),
        ({"intermediate_size": 60_000}, r"tensor \S+ has shape"),
        ({"hidden_act": "magic"}, "describes no Wav2Vec2ForCTC"),
        ({"num_attention_heads": 3}, "describes no Wav2Vec2ForCTC"),
        ({"num_hidden_layers": 200}, "describes a model of .* weights, but there are"),
    ],
)
def test_settings_that_no_model_has_are_refused(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    edit(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(folder)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    model = tiny("Wav2Vec2ForCTC")
    torch.nn.init.constant_(model.lm_head.bias, float("nan"))
    with pytest.raises(CheckpointError, match=r"tensor lm_head\.bias .* not finite"):
        load_pretrained(save(tmp_path, model))
