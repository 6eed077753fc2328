"""Checkpoints of PyTorch: what is exported computes the same; no code of theirs is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt, command
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.json_damage import changed_json, same_json
from benchmarks.fuzz.models import LABELS, write_models
from quantkit.api.load import load

_CLIP = "clips/clip5.wav"


class Checkpoints:
    """Folders of quantkit and of transformers, as ``.safetensors``, ``.pt`` and ``.bin``."""

    name, share = "checkpoints", 30

    def prepare(self, seeds: Path) -> None:
        import torch

        from quantkit.audio.frontend import Frontend
        from quantkit.models.checkpoint import save_wav2letter
        from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig

        if not (seeds / "model.onnx").exists():
            write_models(seeds)
        torch.manual_seed(0)
        folder = seeds / "checkpoints"
        model = Wav2Letter(Wav2LetterConfig(labels=len(LABELS), width=8, head_width=8))
        save_wav2letter(folder / "safetensors", model, LABELS, Frontend(), {"name": "m"})
        shutil.copytree(folder / "safetensors", folder / "pt")
        (folder / "pt" / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pt" / "model.pt")
        _save_pretrained(folder)

    def run(self, case: Case) -> Answer:
        random = case.random
        seed = case.seeds / "checkpoints" / random.choice(("safetensors", "pt", "hub", "hub-bin"))
        folder = case.folder / "model"
        shutil.copytree(seed, folder)
        weights = next(p for p in folder.iterdir() if p.suffix in (".safetensors", ".pt", ".bin"))
        config = folder / "config.json"
        way, is_same = random.random(), False
        if way < 0.04:
            config.write_bytes(same_json(config.read_text(), random))
            is_same = True
        elif way < 0.5:
            config.write_bytes(changed_json(config.read_text(), random))
        elif way < 0.6:
            other = random.choice([p for p in folder.iterdir() if p != weights])
            other.write_bytes(damaged(other.read_bytes(), random))
        elif way < 0.7 and weights.suffix == ".safetensors":
            _change_header(weights, case)
        elif way < 0.8 and weights.suffix != ".safetensors":
            weights.write_bytes(pickle.dumps({"w": _Hostile()}))
        elif way < 0.85:
            random.choice(sorted(folder.iterdir())).unlink()
        else:
            weights.write_bytes(damaged(weights.read_bytes(), random))
        source = weights if weights.suffix == ".pt" and weights.exists() else folder
        made = case.folder / "made.onnx"
        try:
            command("export", source, "-o", made)
        except Refused as refusal:
            if is_same:
                raise WrongResult(f"it says the same, and is refused: {refusal}") from None
            raise
        finally:
            if (case.folder / "ran").exists():
                raise WrongResult("code of the checkpoint was run")
        attempt(lambda: load(made).transcribe(case.seeds / _CLIP).text.encode())
        return "right"


class _Hostile:
    """What would make a file in the working folder when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


def _change_header(path: Path, case: Case) -> None:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = changed_json(content[8 : 8 + length].decode(), case.random)
    stated = case.random.choice((len(header), len(header), len(header), 2**40, 0, 2**63))
    path.write_bytes(struct.pack("<Q", stated) + header + content[8 + length :])


def _save_pretrained(folder: Path) -> None:
    """A tiny wav2vec 2.0 with its tokenizer's files."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    tokens = ("<pad>", "<s>", "</s>", "<unk>", "|", "E", "T", "A")
    sizes: dict[str, Any] = {
        "vocab_size": len(tokens),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "conv_dim": (8, 8, 8),
        "conv_kernel": (10, 3, 2),
        "conv_stride": (5, 2, 2),
        "num_feat_extract_layers": 3,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
        "pad_token_id": 0,
    }
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**sizes))
    hub = folder / "hub"
    model.save_pretrained(hub)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(hub)
    table = {token: i for i, token in enumerate(tokens)}
    (hub / "vocab.json").write_text(json.dumps(table))
    settings = {"pad_token": "<pad>", "word_delimiter_token": "|", "unk_token": "<unk>"}
    (hub / "tokenizer_config.json").write_text(json.dumps(settings))
    shutil.copytree(hub, folder / "hub-bin")
    (folder / "hub-bin" / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "hub-bin" / "pytorch_model.bin")
