"""Moonshine → an artifact of two files: the encoder, and the decoder with its memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from transformers.models.moonshine.modeling_moonshine import MoonshineEncoderModelOutput

from quantkit.disk.files import refuse_overwriting
from quantkit.exporting.encoder_decoder import (
    BATCH,
    Halves,
    Hearing,
    States,
    build_encoder_decoder,
)
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.saving import float_plan, folder_beside, save_artifact
from quantkit.exporting.text_parity import BEAMS, TextReference, check_texts
from quantkit.exporting.tracing import OPSET, require_known_opset
from quantkit.graph.artifact import EXTERNAL_DATA_THRESHOLD
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.roles import DECODER, beside
from quantkit.models.moonshine.checkpoint import SHORTEST, load_moonshine
from quantkit.models.moonshine.network import MoonshineDecoder, MoonshineEncoder
from quantkit.models.pretrained_files import files_of, name_of
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.moonshine.settings import MOONSHINE
from quantkit.tasks.names import MOONSHINE as TASK
from quantkit.version import __version__

# Samples of the traced example, of which the encoder makes so many steps.
_SAMPLES, _STEPS = 4_001, 9
# Samples of the clips and tokens of the texts that are compared.
_LENGTHS, _COUNTS = (SHORTEST, SHORTEST + 383, 16_000, 48_003), (1, 4, 23)


def export_moonshine(
    folder: Path,
    destination: Path,
    *,
    opset: int = OPSET,
    name: str = "",
    adapter: Path | None = None,
    external_threshold: int = EXTERNAL_DATA_THRESHOLD,
) -> ParityReport:
    """Write the Moonshine in ``folder`` and prove that it gives the numbers of ``transformers``.

    The encoder is written to ``destination``, the decoder beside it; see
    :mod:`quantkit.graph.joined`. Both appear only after the parity check has passed.

    Args:
        opset: ONNX operator set, 18 to 23.
        name: what the metadata says; by default the folder's.
        adapter: folder of a LoRA adapter that is merged into the model.
        external_threshold: bytes of weights beyond which they go to a file of their own.

    Raises:
        CheckpointError: files are missing or damaged, or a part is not supported.
        ParityError: a graph differs from ``transformers``; nothing is written.
        InputError: an opset out of range, or a destination that is a file of the model.
        OutputError: ``destination`` cannot be written.
    """
    require_known_opset(opset)
    for target in (destination, beside(destination, DECODER)):
        refuse_overwriting(target, files_of(folder))
    source = load_moonshine(folder, adapter)
    with folder_beside(destination) as scratch:
        references = tuple(_references(source.model))
        whole = build_moonshine(source.model, opset, scratch)
        info = ArtifactInfo(
            labels=source.labels,
            frontend=source.frontend,
            fused=True,
            task=TASK,
            plan=float_plan(whole, source.sha256),
            model_sha256=source.sha256,
            version=__version__,
            name=name or name_of(folder),
            licence=source.licence,
            extra={MOONSHINE: source.settings.to_json()},
        )
        # Its weights are in files now; in memory, they would lie beside those of ONNX Runtime.
        del source
        malloc_trim()
        return save_artifact(
            whole,
            info,
            destination,
            partial(check_texts, references, unit="samples"),
            external_threshold=external_threshold,
        )


def build_moonshine(model: Any, opset: int, scratch: Path) -> onnx.ModelProto:
    """The whole float32 graph, without metadata but the mark that it is to be cut.

    Inputs: ``waveform`` (clips, samples) and those of
    :func:`~quantkit.exporting.encoder_decoder.build_encoder_decoder`.

    Args:
        scratch: a folder for the weights, which must stay while the graph is used.
    """
    config = model.config
    heads = int(config.decoder_num_attention_heads)
    return build_encoder_decoder(
        Halves(MoonshineEncoder(model), MoonshineDecoder(model)),
        Hearing("waveform", torch.zeros(BATCH, _SAMPLES), {0: "clips", 1: "samples"}),
        States(
            int(config.decoder_num_hidden_layers), heads, int(config.hidden_size) // heads, _STEPS
        ),
        opset,
        scratch,
    )


def _references(model: Any) -> Iterator[TextReference]:
    """Random clips and texts with the log-probabilities of ``transformers``."""
    random = np.random.default_rng(0)
    for samples in _LENGTHS:
        loudness = 10.0 ** random.uniform(-2.0, -0.5)
        heard = (loudness * random.standard_normal((1, samples))).astype(np.float32)
        with torch.no_grad():
            hidden = model.model.encoder(torch.from_numpy(heard)).last_hidden_state
        for count in _COUNTS:
            tokens = random.integers(0, int(model.config.vocab_size), (BEAMS, count))
            with torch.no_grad():
                logits = model(
                    encoder_outputs=MoonshineEncoderModelOutput(hidden.expand(BEAMS, -1, -1)),
                    decoder_input_ids=torch.from_numpy(tokens),
                    use_cache=False,
                ).logits
            yield TextReference(heard, tokens, logits.log_softmax(-1).numpy())
