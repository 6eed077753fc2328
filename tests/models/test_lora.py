"""LoRA adapters of PEFT are merged into the weights that they were trained for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import save_file  # noqa: E402

from quantkit.errors import CheckpointError  # noqa: E402
from quantkit.models.lora import base_of, merge_adapter  # noqa: E402
from tests.pretrained import tiny  # noqa: E402

QUERY = "wav2vec2.encoder.layers.0.attention.q_proj"
CONVOLUTION = "wav2vec2.feature_extractor.conv_layers.1.conv"
RANK = 3


def written(folder: Path, tensors: dict[str, Any] | None = None, **settings: Any) -> Path:
    """As ``save_pretrained`` of PEFT writes it."""
    folder.mkdir(exist_ok=True)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 12, "base_model_name_or_path": "x/y"}
    (folder / "adapter_config.json").write_text(json.dumps({**config, **settings}))
    prefixed = {f"base_model.model.{name}": t for name, t in (tensors or factors()).items()}
    save_file(prefixed, folder / "adapter_model.safetensors")
    return folder


def factors(name: str = QUERY, shape: tuple[int, ...] = (16, 16)) -> dict[str, Any]:
    torch.manual_seed(7)
    outputs, *inputs = shape
    return {
        f"{name}.lora_A.weight": torch.randn(RANK, *inputs),
        f"{name}.lora_B.weight": torch.randn(outputs, RANK, *(1 for _ in inputs[1:])),
    }


def weight_of(model: Any, name: str = QUERY) -> Any:
    return model.get_parameter(f"{name}.weight").detach().clone()


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, 12 / RANK),
        ({"use_rslora": True}, 12 / math.sqrt(RANK)),
        ({"alpha_pattern": {"attention.q_proj": 6}}, 6 / RANK),
        ({"alpha_pattern": {"k_proj": 6}}, 12 / RANK),
    ],
)
def test_a_matrix_gets_the_product_times_alpha_over_rank(
    tmp_path: Path, settings: dict[str, Any], scale: float
) -> None:
    model = tiny("Wav2Vec2ForCTC")
    before, pair = weight_of(model), factors()
    digest = merge_adapter(model, written(tmp_path, **settings), "0")
    change = scale * pair[f"{QUERY}.lora_B.weight"] @ pair[f"{QUERY}.lora_A.weight"]
    torch.testing.assert_close(weight_of(model), before + change)
    assert digest != merge_adapter(model, tmp_path, "1")


def test_a_convolution_gets_the_taps_of_the_first(tmp_path: Path) -> None:
    model = tiny("Wav2Vec2ForCTC")
    before = weight_of(model, CONVOLUTION)
    pair = factors(CONVOLUTION, tuple(before.shape))
    merge_adapter(model, written(tmp_path, pair), "0")
    first, second = (pair[f"{CONVOLUTION}.lora_{each}.weight"] for each in "AB")
    change = 4 * torch.einsum("or,rit->oit", second[:, :, 0], first)
    torch.testing.assert_close(weight_of(model, CONVOLUTION), before + change)


def test_what_was_trained_as_a_whole_takes_the_place(tmp_path: Path) -> None:
    model: Any = tiny("Wav2Vec2ForCTC")
    head = torch.randn(12, 16)
    merge_adapter(model, written(tmp_path, {"lm_head.weight": head}), "0")
    assert torch.equal(model.lm_head.weight, head)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "IA3"}, "a IA3 adapter, not LoRA: merge it with PEFT"),
        ({"use_dora": True}, "with use_dora: merge it with PEFT"),
        ({"init_lora_weights": "pissa_niter_4"}, "with init_lora_weights pissa"),
        ({"alpha_pattern": {"(a+)+": 3}}, "with patterns in alpha_pattern"),
        ({"lora_alpha": "much"}, "lora_alpha must be a number"),
        ({"lora_alpha": 1e300}, "not finite"),
    ],
)
def test_other_methods_are_refused_with_the_way(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        merge_adapter(tiny("Wav2Vec2ForCTC"), written(tmp_path, **settings), "0")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (factors("nowhere"), "the model has no nowhere"),
        (factors(QUERY, (16, 8)), "do not make its weight"),
        (dict([*factors().items()][:1]), "only one of its two matrices"),
        ({"odd": torch.zeros(3)}, "is no tensor of the model"),
    ],
)
def test_adapters_of_another_model_are_refused(
    tmp_path: Path, tensors: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        merge_adapter(tiny("Wav2Vec2ForCTC"), written(tmp_path, tensors), "0")


def test_the_base_is_looked_for_on_this_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    base = tmp_path / "base"
    base.mkdir()
    adapter = tmp_path / "adapter"
    assert base_of(written(adapter, base_model_name_or_path=str(base))) == base
    assert base_of(written(adapter, base_model_name_or_path="../base")).samefile(base)
    with pytest.raises(CheckpointError, match=r"for 'nobody/nothing', which is not .*merge it"):
        base_of(written(adapter, base_model_name_or_path="nobody/nothing"))
    for name in (None, "", 3):
        with pytest.raises(CheckpointError, match="does not name the model"):
            base_of(written(adapter, base_model_name_or_path=name))
