"""A tiny Moonshine in the first layout of sherpa-onnx, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.moonshine_graphs import Sizes, Weights, write_four
from tests.moonshine_pretrained import PIECES, SIZES, tiny
from tests.once import made_once


def weights_of(model: Any) -> Weights:
    """By their names in ``transformers``, with the speeds of the positions."""
    found = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    found.setdefault("proj_out.weight", model.proj_out.weight.detach().numpy())
    for half in ("encoder", "decoder"):
        speeds = getattr(model.model, half).rotary_emb.inv_freq
        found[f"model.{half}.rotary_emb.inv_freq"] = speeds.numpy()
    return found


def write_sherpa_moonshine(folder: Path, *, addition: str = "", **settings: Any) -> Path:
    """The folder; ``settings`` are those of the model."""
    weights = weights_of(tiny(**settings).eval())
    pairs = weights["model.encoder.rotary_emb.inv_freq"].size
    sizes = Sizes(SIZES["encoder_num_hidden_layers"], SIZES["encoder_num_attention_heads"], pairs)
    write_four(folder, weights, sizes, addition=addition)
    lines = (f"{name}\t{number}\n" for number, name in enumerate(PIECES))
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def moonshine_graphs(factory: pytest.TempPathFactory) -> Path:
    """Such a folder, made once for all tests."""
    return (
        made_once(factory, "four-graphs", lambda folder: write_sherpa_moonshine(folder / "tiny"))
        / "tiny"
    )
