"""``transformers`` models in a folder, loaded without running code from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.errors import CheckpointError
from quantkit.models.adapters import (
    Architecture,
    FeatureFamily,
    architecture_names,
    find_architecture,
)
from quantkit.models.config_limits import require_sensible
from quantkit.models.language_adapters import adapter_of, outputs_of, put_adapter
from quantkit.models.pretrained_files import (
    CONFIG_NAME,
    PREPROCESSOR_NAME,
    digest_of,
    feature_extractor,
    licence_of,
    read_json_object,
    weights_files,
)
from quantkit.models.quiet import quiet_transformers
from quantkit.models.settings import count_of
from quantkit.models.tensor_shapes import require_fitting
from quantkit.models.vocabulary import class_names, ctc_labels
from quantkit.text.labels import Labels

_LOGGER = logging.getLogger(__name__)
# Of Wav2Vec2ProcessorWithLM.
_LANGUAGE_MODEL = "language_model"
# Hertz, where no file says it.
_SAMPLE_RATE = 16_000
# What is exported in another way; told from the ``model_type``.
_OF_SEVERAL_GRAPHS = (
    "CanaryForConditionalGeneration",
    "MoonshineForConditionalGeneration",
    "MoonshineStreamingForConditionalGeneration",
    "NemotronAsrStreamingForRNNT",
    "ParakeetForRNNT",
    "ParakeetForTDT",
    "WhisperForConditionalGeneration",
)
# Used in training only; models are saved with and without it.
_FOR_TRAINING = "masked_spec_embed"


class Pretrained(NamedTuple):
    """A model in evaluation mode and float32, with its labels and front end.

    Args:
        model: of ``transformers``.
        task: ``ctc`` or ``classification``.
        labels: of a CTC model.
        classes: of a classifier.
        frontend: what makes its features, or the sample rate and the shortest clip.
        standardized: whether clips are first normalised to mean 0 and variance 1.
        sha256: of the weights; of several files, the SHA-256 of their SHA-256s in hexadecimal.
        licence: from the model's card.
    """

    model: PreTrainedModel
    architecture: Architecture
    labels: Labels | None
    classes: tuple[str, ...]
    frontend: AnyFrontend
    standardized: bool
    sha256: str
    licence: str

    @property
    def takes_waveforms(self) -> bool:
        """Whether it has no features."""
        return isinstance(self.frontend, WaveformFrontend)

    @property
    def bands(self) -> int:
        """Features of a frame."""
        noise = np.random.default_rng(0).standard_normal(self.frontend.window)
        return int(self.frontend(noise.astype(np.float32)).shape[1])

    def module(self) -> nn.Module:
        """What is exported; see :meth:`~quantkit.models.adapters.family.Family.module`."""
        family = self.architecture.family
        if isinstance(family, FeatureFamily):
            return family.module(self.model)
        return family.module(self.model, standardized=self.standardized)


def load_pretrained(folder: Path, language: str = "") -> Pretrained:
    """Load the model that ``save_pretrained`` of ``transformers`` wrote to ``folder``.

    Weights come from safetensors, or from a ``.bin`` that is read with ``weights_only=True``; code
    in the folder is never run.

    Args:
        language: of a model that has an adapter for each of several; empty: that of its tokenizer.

    Raises:
        CheckpointError: files are missing, truncated or inconsistent, or the architecture is
            unknown.
    """
    config_path = folder / CONFIG_NAME
    if not config_path.is_file():
        raise CheckpointError(f"{folder} is not a model: it has no {CONFIG_NAME}")
    config = read_json_object(config_path)
    architecture = _architecture(config, config_path)
    require_sensible(config, config_path)
    frontend, standardized = _frontend(folder, config, architecture)
    files = weights_files(folder)
    # Checked before the weights, which take longer.
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    is_ctc = architecture.model is architecture.family.ctc
    if (folder / _LANGUAGE_MODEL).is_dir():
        _LOGGER.warning(
            "%s has a language model in %s, which is no part of the artifact: an .arpa in there "
            "can be given with --language-model",
            folder,
            _LANGUAGE_MODEL,
        )
    adapter = adapter_of(folder, language) if is_ctc or language else None
    if is_ctc:
        kind: Any = architecture.model
        outputs = count_of(config, "vocab_size", kind.config_class().vocab_size, config_path)
        labels = ctc_labels(folder, outputs_of(adapter) if adapter else outputs, language)
    model = load_weights(folder, architecture.model, files)
    if adapter is not None:
        put_adapter(model, adapter)
        files = [*files, adapter]
    if not is_ctc:
        classes = class_names(config, int(model.config.num_labels or 0), config_path)
    return Pretrained(
        model,
        architecture,
        labels,
        classes,
        frontend,
        standardized,
        digest_of(files),
        licence_of(folder),
    )


def _architecture(config: dict[str, Any], origin: Path) -> Architecture:
    named = config.get("architectures")
    names = [str(name) for name in named] if isinstance(named, list) else []
    for name in names:
        if architecture := find_architecture(name):
            return architecture
    found = ", ".join(names) or f"model_type {config.get('model_type')!r}, no architectures"
    raise CheckpointError(
        f"{origin}: unknown architecture ({found}); known: "
        f"{', '.join(sorted((*architecture_names(), *_OF_SEVERAL_GRAPHS)))}"
    )


def _frontend(
    folder: Path, config: dict[str, Any], architecture: Architecture
) -> tuple[AnyFrontend, bool]:
    """And whether clips are normalised."""
    settings, path = feature_extractor(folder)
    if isinstance(architecture.family, FeatureFamily):
        return architecture.family.frontend(settings, config, path), False
    if not settings:
        # What transformers has for such a folder, too.
        _LOGGER.warning(
            "%s has no %s: taken for a model of clips at %d Hz that are normalised",
            folder,
            PREPROCESSOR_NAME,
            _SAMPLE_RATE,
        )
    rate = count_of(settings, "sampling_rate", _SAMPLE_RATE, path)
    window, reach = 1, 1
    kernels = config.get("conv_kernel", (10, 3, 3, 3, 3, 2, 2))
    strides = config.get("conv_stride", (5, 2, 2, 2, 2, 2, 2))
    for kernel, stride in zip(kernels, strides, strict=False):
        window += (int(kernel) - 1) * reach
        reach *= int(stride)
    return WaveformFrontend(rate, window), settings.get("do_normalize", True) is True


def load_weights(
    folder: Path, kind: type[PreTrainedModel], files: Sequence[Path]
) -> PreTrainedModel:
    """A model of ``kind`` from ``folder``, in evaluation mode and float32.

    Args:
        files: the weights; see :func:`~quantkit.models.pretrained_files.weights_files`.

    Raises:
        CheckpointError: they are damaged, incomplete, not finite, or do not fit the configuration.
    """
    origin = folder / CONFIG_NAME
    require_fitting(kind, read_json_object(origin), files, origin)
    try:
        with quiet_transformers():
            loaded: Any = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=files[0].suffix == ".safetensors",
                weights_only=True,
                dtype=torch.float32,
                attn_implementation="eager",
                output_loading_info=True,
            )
    # Damaged bytes and settings raise errors of any kind.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise CheckpointError(f"{folder} cannot be loaded: {reason}") from error
    model: PreTrainedModel = loaded[0]
    found: dict[str, Any] = loaded[1]
    missing = sorted(name for name in found["missing_keys"] if not name.endswith(_FOR_TRAINING))
    if missing:
        raise CheckpointError(
            f"{files[0]} lacks tensor {missing[0]}{_more(missing)}: it is not a {kind.__name__}"
        )
    for name, tensor in model.named_parameters():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{folder}: tensor {name} has values that are not finite")
    evaluated: Any = model.requires_grad_(False)
    evaluated.eval()
    return model


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
