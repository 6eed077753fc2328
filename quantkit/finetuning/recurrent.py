"""The recurrent operators of ONNX in PyTorch, with gradients for weights, biases and states.

Gates see x_t Wᵀ + h_{t−1} Rᵀ + Wb + Rb, and lie one below the other: those of ``LSTM`` in the order
i, o, f, c, those of ``GRU`` z, r, h (ONNX operator documentation). PyTorch has the same cells, with
the gates in another order, and computes a whole sequence at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

#: Where PyTorch's gates i, f, g, o and r, z, n lie among those of ONNX.
_LSTM_GATES, _GRU_GATES = (0, 2, 3, 1), (1, 0, 2)
_FUNCTIONS = {"LSTM": (b"Sigmoid", b"Tanh", b"Tanh"), "GRU": (b"Sigmoid", b"Tanh")}
_PEEPHOLES = 7


def problem_of(op: str, attributes: Mapping[str, Any], given: Sequence[str]) -> str:
    """Why a recurrent node is not computed here; empty where it is.

    Args:
        op: ``LSTM`` or ``GRU``.
        given: names of its inputs, empty where one is left out.
    """
    functions = [each.lower() for each in _FUNCTIONS[op]]
    said = [each.lower() for each in attributes.get("activations", [])]
    if said and said != functions * max(1, len(said) // len(functions)):
        return "its gates have other functions than the usual ones"
    if attributes.get("clip") is not None:
        return "it clips what its gates see"
    if attributes.get("input_forget", 0):
        return "its input and forget gates are one"
    if attributes.get("layout", 0):
        return "it has its batch first"
    return "its gates look at the cell" if any(given[_PEEPHOLES:]) else ""


def lstm(attributes: Mapping[str, Any], values: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """``LSTM``: hidden states of all steps, and the last hidden state and cell.

    Args:
        values: (steps, batch, inputs); W, (directions, 4 · hidden, inputs); R; and where they are
            given B, the clips' lengths, the first hidden state and the first cell.

    Returns:
        (steps, directions, batch, hidden), and twice (directions, batch, hidden).
    """
    read, weight, recurrent, bias, lengths, hidden, cell = _padded(values, 7)
    parameters = _parameters(weight, recurrent, bias, _LSTM_GATES)
    states = [_state(each, read, recurrent) for each in (hidden, cell)]
    found: tuple[Tensor, ...] = _run(torch.lstm, attributes, read, lengths, parameters, states)
    return found


def gru(attributes: Mapping[str, Any], values: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """``GRU``: hidden states of all steps, and the last one.

    Args:
        values: as of :func:`lstm`, without a cell; three gates.

    Returns:
        (steps, directions, batch, hidden), and (directions, batch, hidden).
    """
    read, weight, recurrent, bias, lengths, hidden = _padded(values, 6)
    state = _state(hidden, read, recurrent)
    if attributes.get("linear_before_reset", 0):
        parameters = _parameters(weight, recurrent, bias, _GRU_GATES)
        return _run(torch.gru, attributes, read, lengths, parameters, [state])
    return _reset_before_product(attributes, read, lengths, (weight, recurrent, bias), state)


def _run(
    function: Any,
    attributes: Mapping[str, Any],
    read: Tensor,
    lengths: Tensor | None,
    parameters: list[list[Tensor]],
    states: list[Tensor],
) -> tuple[Tensor, ...]:
    """By PyTorch's own function; clips end at their lengths."""
    backwards = _direction(attributes) == "reverse"
    both = len(parameters) == 2
    flat = [each for one in parameters for each in one]
    given = states if function is torch.lstm else states[0]
    # Batches that carry biases have two of each; training keeps what gradients need.
    rest = (flat, len(parameters[0]) == 4, 1, 0.0, torch.is_grad_enabled(), both)
    steps = read.shape[0]
    if backwards:
        read = _turned(read, lengths)
    # bfloat16 is too coarse for states that go on through a whole clip.
    with torch.autocast("cpu", enabled=False):
        if lengths is None:
            out, *last = function(read.float(), given, *rest, False)
        else:
            packed = pack_padded_sequence(read.float(), lengths.cpu(), enforce_sorted=False)
            order, back = packed.sorted_indices, packed.unsorted_indices
            assert order is not None
            assert back is not None
            ordered = [each.index_select(1, order) for each in states]
            given = ordered if function is torch.lstm else ordered[0]
            data, *last = function(packed.data, packed.batch_sizes, given, *rest)
            last = [each.index_select(1, back) for each in last]
            joined = PackedSequence(data, packed.batch_sizes, order, back)
            out, _ = pad_packed_sequence(joined, total_length=steps)
    if backwards:
        out = _turned(out, lengths)
    by_direction = out.reshape(*out.shape[:2], len(parameters), -1).permute(0, 2, 1, 3)
    return (by_direction, *last)


def _reset_before_product(
    attributes: Mapping[str, Any],
    read: Tensor,
    lengths: Tensor | None,
    weights: tuple[Tensor, Tensor, Tensor | None],
    state: Tensor,
) -> tuple[Tensor, ...]:
    """A GRU that resets the state before it is multiplied, which PyTorch has not; step by step."""
    weight, recurrent, bias = weights
    directions, hidden = recurrent.shape[0], recurrent.shape[2]
    name = _direction(attributes)
    found, last = [], []
    for number in range(directions):
        turned = name == "reverse" or number == 1
        given = _turned(read, lengths) if turned else read
        own = torch.zeros(6 * hidden) if bias is None else bias[number]
        first = given.float() @ weight[number].mT + own[: 3 * hidden]
        now, states = state[number], []
        for step, gates in enumerate(first):
            by_state, by_reset = recurrent[number].split([2 * hidden, hidden])
            both = gates[:, : 2 * hidden] + now @ by_state.mT + own[3 * hidden : 5 * hidden]
            update, reset = torch.sigmoid(both).chunk(2, dim=1)
            new = torch.tanh(
                gates[:, 2 * hidden :] + (reset * now) @ by_reset.mT + own[5 * hidden :]
            )
            after = (1 - update) * new + update * now
            if lengths is None:
                now = after
                states.append(after)
            else:
                within = (step < lengths)[:, None]
                now = torch.where(within, after, now)
                states.append(torch.where(within, after, 0.0))
        rows = torch.stack(states)
        found.append(_turned(rows, lengths) if turned else rows)
        last.append(now)
    return torch.stack(found, dim=1), torch.stack(last)


def _parameters(
    weight: Tensor, recurrent: Tensor, bias: Tensor | None, gates: Sequence[int]
) -> list[list[Tensor]]:
    """Of each direction W, R and where there are any Wb and Rb, gates in PyTorch's order."""
    found = []
    for number in range(weight.shape[0]):
        own = [weight[number], recurrent[number]]
        if bias is not None:
            own += [*bias[number].chunk(2)]
        found.append([_reordered(each, gates) for each in own])
    return found


def _reordered(rows: Tensor, gates: Sequence[int]) -> Tensor:
    parts = rows.float().chunk(len(gates))
    return torch.cat([parts[place] for place in gates])


def _state(given: Tensor | None, read: Tensor, recurrent: Tensor) -> Tensor:
    """(directions, batch, hidden), zeros where none is given."""
    if given is not None:
        return given.float()
    return torch.zeros(recurrent.shape[0], read.shape[1], recurrent.shape[2])


def _turned(values: Tensor, lengths: Tensor | None) -> Tensor:
    """(steps, batch, …) with the steps of each clip backwards; what follows them stays."""
    if lengths is None:
        return values.flip(0)
    place = torch.arange(values.shape[0])[:, None]
    turned = torch.where(place < lengths, lengths - 1 - place, place)
    return values.gather(0, turned[..., None].expand(*turned.shape, *values.shape[2:]))


def _direction(attributes: Mapping[str, Any]) -> str:
    value = attributes.get("direction", b"forward")
    return value.decode() if isinstance(value, bytes) else str(value)


def _padded(values: Sequence[Tensor | None], count: int) -> tuple[Any, ...]:
    """All inputs, None for those that are left out."""
    return (*values, *[None] * (count - len(values)))


#: By operator.
RECURRENT: Mapping[str, Callable[..., tuple[Tensor, ...]]] = MappingProxyType(
    {"LSTM": lstm, "GRU": gru}
)
