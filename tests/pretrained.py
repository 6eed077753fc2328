"""Tiny models of transformers with random weights, as folders that ``save_pretrained`` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, Wav2Vec2FeatureExtractor

from quantkit.models.adapters import ARCHITECTURES

VOCABULARY = ("<pad>", "<s>", "</s>", "<unk>", "|", "E", "T", "A", "O", "N", "I", "H")
CLASSES = ("yes", "no", "stop", "go")

#: A frame of 30 samples starts every 20.
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "conv_depthwise_kernel_size": 7,
    "classifier_proj_size": 12,
    "vocab_size": len(VOCABULARY),
    "pad_token_id": 0,
}
#: What tells the large models' architecture from the base models'.
LARGE: dict[str, Any] = {
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}


def tiny(architecture: str, **settings: Any) -> PreTrainedModel:
    """A model whose every parameter matters: norms that are no identity, biases that are not 0."""
    torch.manual_seed(0)
    kind: Any = ARCHITECTURES[architecture].model
    names = {"id2label": dict(enumerate(CLASSES))} if "Classification" in architecture else {}
    model: Any = kind(kind.config_class(**{**SIZES, **names, **settings}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
            elif parameter.ndim < 2 or "pos_bias" in name or "gru_rel_pos_const" in name:
                torch.nn.init.uniform_(parameter, -0.5, 0.5)
            elif "original0" not in name:
                torch.nn.init.normal_(parameter, 0.0, parameter[0].numel() ** -0.5)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.1, 0.5)
    return model.eval()


def save(folder: Path, model: PreTrainedModel, *, standardized: bool = True, **saving: Any) -> Path:
    """The folder with all that such a model has on the hub."""
    model.save_pretrained(folder, **saving)
    extractor: Any = Wav2Vec2FeatureExtractor(do_normalize=standardized)
    extractor.save_pretrained(folder)
    vocabulary = {token: index for index, token in enumerate(VOCABULARY)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n")
    return folder
