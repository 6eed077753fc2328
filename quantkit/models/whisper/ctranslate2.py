"""Read the ``model.bin`` of a CTranslate2 folder, the format of faster-whisper.

The file is a list of named arrays after a header (``ModelSpec._serialize`` of CTranslate2, binary
version 6): attention is stored fused, and nothing is rescaled in the unquantized types.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Array
from quantkit.errors import CheckpointError

#: Model type in the files of Whisper models.
SPECIFICATION = "WhisperSpec"

_VERSION = 6
# CTranslate2's numbers of data types; bfloat16, which NumPy does not have, is converted to float32.
_BFLOAT16 = 5
_TYPES: dict[int, Any] = {
    0: np.float32,
    1: np.int8,
    2: np.int16,
    3: np.int32,
    4: np.float16,
    _BFLOAT16: np.uint16,
}
_LONGEST_NAME, _HIGHEST_RANK = 4_096, 8


def read_arrays(path: Path) -> dict[str, Array]:
    """All arrays of a Whisper in CTranslate2's format, mapped from the file; aliases are resolved.

    Raises:
        CheckpointError: the file is missing, truncated, of another version or kind of model, or has
            quantized weights.
    """
    try:
        content = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"cannot read {path}: {reason}") from error
    try:
        return _Reader(content, path).arrays()
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise CheckpointError(f"{path} is damaged or truncated: fetch it again") from error


def whisper_state(arrays: Mapping[str, Array]) -> dict[str, npt.NDArray[np.float32]]:
    """The arrays under the names of ``transformers.WhisperForConditionalGeneration``, float32.

    CTranslate2 stacks the query, key and value matrices of self-attention in ``linear_0``, and keys
    and values of attention to the encoder in ``linear_1``; the bias of the keys, which Whisper does
    not have, is zero.

    Raises:
        CheckpointError: an array is missing.
    """
    state: dict[str, npt.NDArray[np.float32]] = {}

    def take(name: str) -> npt.NDArray[np.float32]:
        if name not in arrays:
            raise CheckpointError(f"the checkpoint is not a complete Whisper: it lacks {name}")
        return np.asarray(arrays[name], np.float32)

    def linear(target: str, source: str, *, bias: bool = True) -> None:
        state[f"{target}.weight"] = take(f"{source}/weight")
        if bias:
            state[f"{target}.bias"] = take(f"{source}/bias")

    def fused(targets: list[str], source: str) -> None:
        stacked, biases_of_all = take(f"{source}/weight"), take(f"{source}/bias")
        if len(stacked) % len(targets) or len(biases_of_all) != len(stacked):
            raise CheckpointError(
                f"{source} does not contain {len(targets)} matrices and their biases"
            )
        weights, biases = (np.split(each, len(targets)) for each in (stacked, biases_of_all))
        for target, weight, bias in zip(targets, weights, biases, strict=True):
            state[f"{target}.weight"] = weight
            if not target.endswith("k_proj"):
                state[f"{target}.bias"] = bias

    def norm(target: str, source: str) -> None:
        state[f"{target}.weight"] = take(f"{source}/gamma")
        state[f"{target}.bias"] = take(f"{source}/beta")

    def block(target: str, source: str, *, attends: bool) -> None:
        own, other = f"{target}.self_attn", f"{target}.encoder_attn"
        fused([f"{own}.{each}_proj" for each in "qkv"], f"{source}/self_attention/linear_0")
        linear(f"{own}.out_proj", f"{source}/self_attention/linear_1")
        norm(f"{own}_layer_norm", f"{source}/self_attention/layer_norm")
        if attends:
            linear(f"{other}.q_proj", f"{source}/attention/linear_0")
            fused([f"{other}.{each}_proj" for each in "kv"], f"{source}/attention/linear_1")
            linear(f"{other}.out_proj", f"{source}/attention/linear_2")
            norm(f"{other}_layer_norm", f"{source}/attention/layer_norm")
        linear(f"{target}.fc1", f"{source}/ffn/linear_0")
        linear(f"{target}.fc2", f"{source}/ffn/linear_1")
        norm(f"{target}.final_layer_norm", f"{source}/ffn/layer_norm")

    for number in (1, 2):
        linear(f"model.encoder.conv{number}", f"encoder/conv{number}")
    state["model.encoder.embed_positions.weight"] = take("encoder/position_encodings/encodings")
    state["model.decoder.embed_positions.weight"] = take("decoder/position_encodings/encodings")
    state["model.decoder.embed_tokens.weight"] = take("decoder/embeddings/weight")
    for part in ("encoder", "decoder"):
        norm(f"model.{part}.layer_norm", f"{part}/layer_norm")
        for index in range(max(1, layer_count(arrays, part))):
            source = f"{part}/layer_{index}"
            block(f"model.{part}.layers.{index}", source, attends=part == "decoder")
    return state


def layer_count(arrays: Mapping[str, Array], part: str) -> int:
    """Layers of ``encoder`` or ``decoder``."""
    count = 0
    while f"{part}/layer_{count}/ffn/linear_0/weight" in arrays:
        count += 1
    return count


def head_count(arrays: Mapping[str, Array], part: str) -> int:
    """Attention heads of ``encoder`` or ``decoder``.

    Raises:
        CheckpointError: it is not recorded.
    """
    heads = arrays.get(f"{part}/num_heads")
    if heads is None or heads.size != 1 or heads.item() < 1:
        raise CheckpointError(
            f"the checkpoint is not a complete Whisper: it lacks {part}/num_heads"
        )
    return int(heads.item())


class _Reader:
    """Sequential reader of the file."""

    def __init__(self, content: npt.NDArray[np.uint8], path: Path) -> None:
        self._content = content
        self._path = path
        self._position = 0

    def arrays(self) -> dict[str, Array]:
        version = self._number("<I")
        if version != _VERSION:
            raise CheckpointError(
                f"{self._path} has CTranslate2's format {version}, not {_VERSION}: convert "
                "the model with a recent ct2-transformers-converter"
            )
        kind = self._name()
        if kind != SPECIFICATION:
            raise CheckpointError(f"{self._path} is a {kind}, not a Whisper")
        self._number("<I")
        found: dict[str, Array] = {}
        for _ in range(self._number("<I")):
            name = self._name()
            found[name] = self._array(name)
        for _ in range(self._number("<I")):
            alias, original = self._name(), self._name()
            if original in found:
                found[alias] = found[original]
        return found

    def _array(self, name: str) -> Array:
        rank = self._number("<B")
        if rank > _HIGHEST_RANK:
            raise IndexError(rank)
        shape = tuple(self._number("<I") for _ in range(rank))
        kind, size = self._number("<B"), self._number("<I")
        content = self._take(size)
        if kind not in _TYPES:
            raise CheckpointError(f"{self._path}: {name} has an unknown type, {kind}")
        if kind in (1, 2) and rank > 1:
            raise CheckpointError(
                f"{self._path} is already quantized: use the float16 or float32 model"
            )
        dtype = np.dtype(_TYPES[kind])
        if math.prod(shape) * dtype.itemsize != size:
            raise IndexError(size)
        array: Array = content.view(dtype).reshape(shape)
        if kind == _BFLOAT16:
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array

    def _name(self) -> str:
        length = self._number("<H")
        if not 0 < length <= _LONGEST_NAME:
            raise IndexError(length)
        return self._take(length).tobytes()[:-1].decode()

    def _number(self, form: str) -> int:
        (value,) = struct.unpack(form, self._take(struct.calcsize(form)).tobytes())
        return int(value)

    def _take(self, size: int) -> npt.NDArray[np.uint8]:
        if size < 0 or self._position + size > len(self._content):
            raise IndexError(size)
        start, self._position = self._position, self._position + size
        return self._content[start : self._position]
