"""Checkpoints survive the way to disk and back, and damaged ones are named."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from quantkit.audio.frontend import Frontend  # noqa: E402
from quantkit.errors import CheckpointError, InputError  # noqa: E402
from quantkit.models.checkpoint import load_wav2letter, save_wav2letter  # noqa: E402
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig  # noqa: E402
from quantkit.text.labels import Labels  # noqa: E402

LABELS = Labels(("_", "a", "b", " "))


def make(**settings: Any) -> Wav2Letter:
    return Wav2Letter(Wav2LetterConfig(labels=4, width=8, head_width=8, **settings))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_wav2letter(tmp_path / "model", make(batch_norm=True), LABELS, Frontend(), {"name": "m"})
    return tmp_path / "model"


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_comes_back_in_float32_and_evaluation_mode(tmp_path: Path, dtype: torch.dtype) -> None:
    model = make(batch_norm=True)
    save_wav2letter(tmp_path, model, LABELS, Frontend(), {"licence": "MIT"}, dtype=dtype)
    loaded, labels, frontend, card = load_wav2letter(tmp_path)
    assert (labels, frontend, card) == (LABELS, Frontend(), {"licence": "MIT"})
    assert loaded.config == model.config
    assert not loaded.training
    for name, tensor in loaded.state_dict().items():
        expected = model.state_dict()[name]
        if expected.is_floating_point():
            expected = expected.to(dtype).float()
        assert tensor.dtype == expected.dtype
        assert torch.equal(tensor, expected)


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    for name, dtype in (("single", torch.float32), ("half", torch.float16)):
        save_wav2letter(tmp_path / name, make(), LABELS, Frontend(), dtype=dtype)
    single, half = ((tmp_path / n / "model.safetensors").stat().st_size for n in ("single", "half"))
    assert half < 0.6 * single


def test_bare_pt_file_with_its_config_beside_it(folder: Path) -> None:
    model = load_wav2letter(folder).model
    torch.save(model.state_dict(), folder / "epoch3.pt")
    loaded = load_wav2letter(folder / "epoch3.pt").model
    assert torch.equal(loaded.output.weight, model.output.weight)


def test_pt_file_that_would_run_code_is_refused(folder: Path) -> None:
    torch.save({"a": Path}, folder / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt is damaged"):
        load_wav2letter(folder / "evil.pt")


def test_pt_file_that_is_no_state_dict(folder: Path) -> None:
    torch.save([1, 2], folder / "list.pt")
    with pytest.raises(CheckpointError, match="not a state_dict"):
        load_wav2letter(folder / "list.pt")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_wav2letter(folder)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere is missing"):
        load_wav2letter(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 4, 100, -50])
def test_cut_off_weights(folder: Path, kept: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        load_wav2letter(folder)


@pytest.mark.parametrize("content", [b"", b"\0", b"x", b"PK", b"plain text\n" * 20, b"\x80\x02."])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_bytes_that_are_no_weights_give_one_line(folder: Path, content: bytes, suffix: str) -> None:
    (folder / f"bad.{suffix}").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=rf"bad\.{suffix} is damaged or truncated: \S"
    ) as caught:
        load_wav2letter(folder / f"bad.{suffix}")
    assert "\n" not in str(caught.value)


def test_a_pt_file_that_inflates_is_refused_before_it_does(folder: Path) -> None:
    tensors = load_wav2letter(folder).model.state_dict()
    zeros = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    torch.save(zeros, folder / "a.pt")
    with (
        zipfile.ZipFile(folder / "a.pt") as archive,
        zipfile.ZipFile(folder / "small.pt", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for name in archive.namelist():
            small.writestr(name, archive.read(name))
    with pytest.raises(CheckpointError, match="unpacks to"):
        load_wav2letter(folder / "small.pt")
    load_wav2letter(folder / "a.pt")


@pytest.mark.slow
def test_a_pt_file_damaged_anywhere_is_a_checkpoint_error_or_loads(folder: Path) -> None:
    expected = load_wav2letter(folder).model.state_dict()
    torch.save(expected, folder / "good.pt")
    refusals: list[str] = []
    intact = (folder / "good.pt").read_bytes()
    for position in range(0, len(intact), len(intact) // 60):
        damaged = bytearray(intact)
        damaged[position] ^= 0xFF
        (folder / "bad.pt").write_bytes(damaged)
        try:
            found = load_wav2letter(folder / "bad.pt").model.state_dict()
        except CheckpointError as error:
            refusals.append(str(error))
        else:
            assert {k: v.shape for k, v in found.items()} == {
                k: v.shape for k, v in expected.items()
            }
    assert refusals
    assert all("bad.pt" in refusal for refusal in refusals)


def test_state_dict_of_other_things_than_plain_tensors(folder: Path) -> None:
    for content in ({1: torch.zeros(1)}, {"a": torch.eye(2).to_sparse()}):
        torch.save(content, folder / "odd.pt")
        with pytest.raises(CheckpointError, match="not a state_dict"):
            load_wav2letter(folder / "odd.pt")


def test_a_model_too_large_for_the_memory_is_refused_by_shape(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())["config"]
    edit(folder, config={**config, "width": 65_536, "head_width": 65_536})
    with pytest.raises(CheckpointError, match="the configuration requires"):
        load_wav2letter(folder)


def test_wrong_shape_names_the_tensor(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())["config"]
    edit(folder, config={**config, "head_width": 16})
    expected = r"tensor blocks\.8\.conv\.weight has shape \(8, 8, 32\).* requires \(16, 8, 32\)"
    with pytest.raises(CheckpointError, match=expected):
        load_wav2letter(folder)


def test_missing_and_unknown_tensors_are_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())["config"]
    edit(folder, config={**config, "batch_norm": False})
    with pytest.raises(CheckpointError, match=r"unknown tensor blocks\.0\.norm"):
        load_wav2letter(folder)
    save_wav2letter(folder, make(), LABELS, Frontend())
    edit(folder, config={**config, "batch_norm": True})
    with pytest.raises(CheckpointError, match=r"tensor blocks\.0\.norm\.\w+ is missing"):
        load_wav2letter(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "conformer"}, "unknown architecture 'conformer'; known: 'wav2letter'"),
        ({"schema": "other/1"}, "schema 'other/1'"),
        ({"config": {"depth": 3}}, "unknown setting 'depth'"),
        ({"config": {"width": "wide"}}, "config.width must be a whole number .*, not 'wide'"),
        ({"config": {"width": 0}}, "config.width must be a whole number from 1"),
        ({"config": {"width": 8.0}}, "config.width must be a whole number .*, not 8.0"),
        ({"config": {"width": True}}, "config.width must be a whole number .*, not True"),
        ({"config": {"width": float("inf")}}, "config.width must be a whole number .*, not inf"),
        ({"config": {"width": 10_000_000}}, "from 1 to 65536, not 10000000"),
        ({"config": {"dropout": 1.5}}, "config.dropout must be at least 0 and below 1, not 1.5"),
        ({"config": {"dropout": float("nan")}}, "config.dropout must be .*, not nan"),
        ({"config": {"dropout": "x"}}, "config.dropout must be a number, not 'x'"),
        ({"config": {"dropout": False}}, "config.dropout must be a number, not False"),
        ({"config": {"batch_norm": 1}}, "config.batch_norm must be true or false, not 1"),
        ({"config": []}, "config.json"),
        ({"config": {"labels": 5}}, "4 labels, but config.labels 5"),
        ({"config": {"labels": 4, "features": 80}}, "front end of 40 bands"),
        ({"labels": {"tokens": ["a", "a"], "blank": 0}}, "repeat a token"),
        ({"frontend": {"kind": "mfcc"}}, "kind is not 'log-mel'"),
    ],
)
def test_config_that_cannot_be_used(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_wav2letter(folder)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    model = make()
    with torch.no_grad():
        next(model.output.parameters()).fill_(1e30)
    with pytest.raises(InputError, match=r"output\.weight has values that are not finite in"):
        save_wav2letter(tmp_path, model, LABELS, Frontend(), dtype=torch.float16)
    torch.save(
        {**model.state_dict(), "output.bias": torch.full((4,), torch.nan)}, tmp_path / "n.pt"
    )
    save_wav2letter(tmp_path, model, LABELS, Frontend())
    with pytest.raises(CheckpointError, match=r"output\.bias has values that are not finite"):
        load_wav2letter(tmp_path / "n.pt")


def test_labels_front_end_and_extra_must_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="29 labels for a model with 4 outputs"):
        save_wav2letter(tmp_path, make(), Labels.english(), Frontend())
    with pytest.raises(InputError, match="80 bands for a model of 40"):
        save_wav2letter(tmp_path, make(), LABELS, Frontend(mel_bands=80))
    with pytest.raises(InputError, match="labels"):
        save_wav2letter(tmp_path, make(), LABELS, Frontend(), {"labels": 1})
