"""A transducer in PyTorch as the greedy search of artifacts takes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quantkit.arrays import Array, FloatArray
from quantkit.runtime.transducer.network import Memory, Step
from quantkit.runtime.transducer.settings import TransducerSettings
from quantkit.training.transducers.model import within


class TorchNetwork:
    """Steps of a model; see :class:`~quantkit.runtime.transducer.search.Network`.

    Args:
        model: a ``ParakeetForRNNT`` or ``ParakeetForTDT`` in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        config = model.config
        self.settings = TransducerSettings(
            (int(config.blank_token_id),),
            len(getattr(config, "durations", ())),
            int(config.max_symbols_per_step),
            int(config.encoder_config.subsampling_factor),
        )
        shape = (int(config.num_decoder_layers), 1, int(config.decoder_hidden_size))
        self._first: dict[str, Array] = {
            name: np.zeros(shape, np.float32) for name in ("hidden", "cell")
        }

    def encode(self, features: Tensor, lengths: Tensor) -> list[FloatArray]:
        """(steps, width) of each clip.

        Args:
            features: (batch, frames, bands), zeros past each clip's end.
            lengths: (batch,) true frames.
        """
        heard = self._model.get_audio_features(
            input_features=features, attention_mask=within(lengths, features.shape[1])
        )
        steps = heard.attention_mask.sum(-1).tolist()
        encoded = heard.pooler_output.float().cpu().numpy()
        return [rows[:count] for rows, count in zip(encoded, steps, strict=True)]

    def begin(self) -> Memory:
        """Of a text without labels."""
        return self._read(self.settings.start, self._first)

    def after(self, step: Step, label: int) -> Memory:
        """Of the text of ``step`` with one more label."""
        return self._read((label,), step.states)

    def step(self, encoded: FloatArray, memory: Memory) -> Step:
        """What follows in a frame, (width,)."""
        assert memory.read is not None
        scores = self._model.joint(
            encoder_hidden_states=self._tensor(encoded),
            decoder_hidden_states=self._tensor(memory.read["predicted"]),
        ).float()
        labels = int(self._model.config.vocab_size)
        parts = [part for part in (scores[:labels], scores[labels:]) if len(part)]
        log_probs = torch.cat([part.log_softmax(-1) for part in parts])
        return Step(log_probs.cpu().numpy(), memory, memory.states)

    def _read(self, tokens: tuple[int, ...], states: Mapping[str, Array]) -> Memory:
        """The predictor's result and the states behind ``tokens``."""
        decoder = self._model.decoder
        embedded = decoder.embedding(torch.tensor([tokens], device=self._model.device))
        before = self._tensor(states["hidden"]), self._tensor(states["cell"])
        made, (hidden, cell) = decoder.lstm(embedded, before)
        after = {"hidden": hidden.float().cpu().numpy(), "cell": cell.float().cpu().numpy()}
        predicted = decoder.decoder_projector(made)[0, 0].float().cpu().numpy()
        return Memory(tokens, after, {"predicted": predicted})

    def _tensor(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(self._model.device)
