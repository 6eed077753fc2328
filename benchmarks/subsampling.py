"""The subsampling of a FastConformer in int8: what its nodes take, in ONNX Runtime and OpenVINO.

Run it from the repository, with nothing else running: ``python -m benchmarks.subsampling``. It
takes about two minutes and renews its section of RESULTS.md. OpenVINO stands in the table where it
and NNCF are installed (extra ``peers``). See
:mod:`quantkit.quantization.kernels.row_masks`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np
import torch
from transformers import ParakeetCTCConfig, ParakeetForCTC

from benchmarks import openvino_peer
from benchmarks.results import host, replace_section, table
from quantkit.exporting.pretrained import build_feature_model
from quantkit.graph.artifact import save_model
from quantkit.models.adapters import find_architecture
from quantkit.quantization import quantize_model
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.node_times import node_milliseconds
from quantkit.runtime.session import create_session

_RULE = "quantkit.quantization.kernels.static.mask_whole_rows"
_FRAMES, _ROUNDS, _PROFILED = 1_000, 25, 10
BANDS = 80
#: Sizes of Parakeet CTC 0.6B's subsampling, with one layer of a smaller one behind it.
_ENCODER: Mapping[str, Any] = {
    "hidden_size": 512,
    "num_attention_heads": 8,
    "intermediate_size": 2_048,
    "subsampling_conv_channels": 256,
    "num_mel_bins": BANDS,
    "conv_kernel_size": 9,
}
#: What a node is counted as, by a part of its name; the first that fits.
_PARTS = (
    ("mask", "masks and rounding"),
    ("QuantizeLinear", "masks and rounding"),
    ("relu_q", "masks and rounding"),
    ("Reorder", "reordering and transposing"),
    ("Transpose", "reordering and transposing"),
    ("transpose", "reordering and transposing"),
    ("layers.0", "first convolution"),
    ("layers.1.", "first convolution"),
    ("layers.2", "first depthwise"),
    ("layers.3", "first pointwise"),
    ("layers.4", "first pointwise"),
    ("layers.5", "second depthwise"),
    ("layers.6", "second pointwise"),
    ("layers.7", "second pointwise"),
    ("linear", "projection"),
)


def write(folder: Path, layers: int = 1) -> Path:
    """The float32 model, of random weights, with so many layers behind the subsampling."""
    torch.manual_seed(0)
    encoder = {**_ENCODER, "num_hidden_layers": layers}
    config: Any = ParakeetCTCConfig(encoder_config=encoder, vocab_size=129, pad_token_id=128)
    source: Any = ParakeetForCTC(config).eval()
    architecture = find_architecture("ParakeetForCTC")
    assert architecture is not None
    path, weights = folder / "float32.onnx", folder / "weights"
    weights.mkdir()
    family: Any = architecture.family
    save_model(build_feature_model(family.module(source), BANDS, 18, weights), path)
    return path


def parts_of(milliseconds: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Of the subsampling, by :data:`_PARTS`."""
    found: dict[str, float] = {}
    for name, taken in milliseconds:
        is_layout = name.startswith(("Reorder", "Transpose"))
        if "subsampling" not in name and not is_layout:
            continue
        part = next((part for piece, part in _PARTS if piece in name), "the rest")
        found[part] = found.get(part, 0.0) + taken
    return found


@click.command()
def main() -> None:
    """Measure, and renew the section in RESULTS.md."""
    random = np.random.default_rng(0)
    features = random.standard_normal((1, _FRAMES, BANDS)).astype(np.float32)
    feed = {"features": features, "lengths": np.array([_FRAMES])}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = write(folder)
        clips = [("noise", feed)]
        with patch(_RULE, lambda _: None):
            before = quantize_model(source, folder / "before.onnx", "hybrid", clips).path
        after = quantize_model(source, folder / "after.onnx", "hybrid", clips).path
        sessions = [create_session(path, threads=1) for path in (source, before, after)]
        one, other = (session.run(None, feed)[0] for session in sessions[1:])
        if not np.array_equal(one, other):
            raise click.ClickException("the two forms differ")
        runs: list[Any] = [partial(session.run, None, feed) for session in sessions]
        names = ["float32", "int8, masks by channel", "int8, masks by row"]
        parts = [
            parts_of(node_milliseconds(path, feed, runs=_PROFILED).items())
            for path in (source, before, after)
        ]
        if openvino_peer.available():
            target = folder / "peer.xml"
            openvino_peer.quantize(source, target, [feed], transformer=True)
            runs.append(partial(openvino_peer.Peer(target).run, feed))
            names.append("OpenVINO + NNCF")
        effort = Effort(rounds=_ROUNDS, min_rounds=_ROUNDS)
        seconds = interleaved_seconds(runs, threads=1, effort=effort, clock=time.process_time)
    whole = 1_000 * np.median(seconds, axis=0)
    rows = [["**whole graph**", *(f"{each:.1f}" for each in whole)]]
    unknown = ["–"] * (len(names) - len(parts))
    kinds = dict.fromkeys(part for _, part in (*_PARTS, ("", "the rest")))
    for kind in kinds:
        cells = [f"{part.get(kind, 0.0):.2f}" for part in parts]
        rows.append([kind, *cells, *unknown])
    shares = [sum(part.values()) for part in parts]
    rows.append(["subsampling in all", *(f"{each:.2f}" for each in shares), *unknown])
    header, load = ["milliseconds", *names], os.getloadavg()[0]
    for row in rows:
        click.echo("  ".join(row))
    replace_section(
        "subsampling",
        f"""## The subsampling of a FastConformer

`python -m benchmarks.subsampling`: Parakeet's subsampling (256 channels, a factor of 8) of ten
seconds of {BANDS} bands, and one layer behind it; random weights, preset `hybrid`, one thread. The
whole graph: processor time, models in turns, medians of {_ROUNDS}. Nodes: wall time, by ONNX
Runtime's profiler, the fastest of {_PROFILED} runs; what OpenVINO's says of its nodes adds up to
twice what the whole takes, so it is left out. Both int8 files of ours give the same numbers bit for
bit. Load of the host meanwhile: {load:.0f}.
{host()}.

{table(header, rows)}
""",
    )


if __name__ == "__main__":
    main()
