"""Codecs that are not in the package: vector codebooks and transforms, against ``rice``.

``python -m benchmarks.vector_codebooks`` after ``make export``; it takes some minutes and renews
its section of RESULTS.md. Both are prototypes: nothing is packed, bytes are counted.

- Vector codebooks (Gong et al., "Compressing Deep Convolutional Networks using Vector
  Quantization", 2014, section 3.3): d neighbouring weights, in units of their channel's root mean
  square, are one of 2ᵏ vectors found by k-means. A weight takes k / d bits, the table 2ᵏ d bytes.
- Transforms (Young et al., "Transform Quantization for CNN Compression", 2021): the
  Karhunen-Loève transform decorrelates, here the taps of a filter or all output channels, and each
  coefficient gets the bits that its variance deserves. With one step for all, that is what an ideal
  code for each coefficient does, and its entropy is what is counted. The matrix takes two bytes per
  element.
"""

from __future__ import annotations

from dataclasses import dataclass

import click
import numpy as np
import onnx
from scipy.cluster.vq import kmeans2

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from quantkit.arrays import FloatArray
from quantkit.codecs.base import Codec, Weight, stored_bytes
from quantkit.codecs.grouped import Grouped
from quantkit.codecs.rice import Rice
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import layer_weights

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
#: A convolution of 7 taps, the widest one (some channels of it), and a product.
LAYERS = ("layer4.conv", "layer9.conv", "layer10.conv")
MOST_CHANNELS = 96
#: Neighbours in a vector, and bits of its index.
VECTORS = ((2, 4), (4, 8), (2, 6), (3, 9), (2, 8))
#: Steps of the transforms, in root mean squares of the weights.
STEPS = (1.1, 0.5, 0.27)
_ROUNDS = 12


@dataclass(frozen=True)
class Found:
    """What one way to store a weight takes and loses: bits per weight, and decibels."""

    what: str
    bits: float
    decibels: float


def vectors(values: FloatArray, dimension: int, bits: int) -> Found:
    """Product quantization of (channels, inputs)."""
    loudness = np.sqrt(np.mean(np.square(values), axis=1, keepdims=True))
    shares = values / np.maximum(loudness, 1e-12)
    inputs = values.shape[1] // dimension * dimension
    cut = shares[:, :inputs].reshape(-1, dimension)
    centres, codes = kmeans2(cut, 1 << bits, iter=_ROUNDS, minit="points", seed=0)
    decoded = centres[codes].reshape(len(values), inputs) * loudness
    taken = bits / dimension + 8 * (1 << bits) * dimension / values.size
    name = f"vectors of {dimension}, {bits} bits each"
    return Found(name, taken, decibels(values[:, :inputs], decoded))


def transform(values: FloatArray, step: float, across: str) -> Found:
    """Decorrelated coefficients with ideal codes, of (channels, inputs, taps)."""
    axis = {"taps": 2, "channels": 0}[across]
    moved = np.moveaxis(values, axis, 0)
    rows = moved.reshape(len(moved), -1).astype(np.float64)
    _, basis = np.linalg.eigh(rows @ rows.T)
    width = step * float(np.sqrt(np.mean(np.square(rows))))
    levels = np.rint(basis.T @ rows / width)
    bits = sum(_entropy(each) for each in levels) / len(levels) + 16 * basis.size / values.size
    decoded = np.moveaxis((basis @ levels * width).reshape(moved.shape), 0, axis)
    return Found(f"transform of {across}, ideal codes", bits, decibels(values, decoded))


def stored(values: FloatArray, codec: Codec) -> Found:
    """By a codec of the package, to nearest levels."""
    decoded = codec.encode(Weight(values, 0)).dequantized()
    bits = 8 * stored_bytes(codec, values.shape, 0) / values.size
    return Found(f"{codec.name}:{codec.bits:g}", bits, decibels(values, decoded))


def decibels(values: FloatArray, decoded: np.ndarray) -> float:
    """Power of the weights over that of their errors."""
    error = np.square(values - decoded, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(values, dtype=np.float64).sum() / error))


def _entropy(levels: np.ndarray) -> float:
    counts = np.unique(levels, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def rows_of(name: str, values: FloatArray) -> list[list[str]]:
    """The rows of one layer, (channels, inputs, taps)."""
    flat = values.reshape(len(values), -1)
    found = [vectors(flat, dimension, bits) for dimension, bits in VECTORS]
    for across in ("taps", "channels"):
        if across == "channels" or values.shape[2] > 1:
            found += [transform(values, step, across) for step in STEPS]
    found += [stored(values, Grouped(bits)) for bits in (2, 3, 4)]
    rows = []
    for each in found:
        # Its table takes up to a hundredth of a bit and more: it is to take no more in total.
        bits = next((b / 100 for b in range(500, 99, -1) if _bits(values, b / 100) <= each.bits), 0)
        rice = f"{stored(values, Rice(bits)).decibels:.1f}" if bits else "–"
        rows.append([name, each.what, f"{each.bits:.2f}", f"{each.decibels:.1f}", rice])
    return rows


def _bits(values: FloatArray, bits: float) -> float:
    return 8 * stored_bytes(Rice(bits), values.shape, 0) / values.size


@click.command()
def main() -> None:
    """Measure, and renew the section in RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    weights = layer_weights(GraphEditor(onnx.load(SOURCE)))
    rows = []
    for name in LAYERS:
        values = weights[name].array()
        assert values is not None
        rows += rows_of(name, values.reshape(*values.shape[:2], -1)[:MOST_CHANNELS])
        click.echo(f"{name}: done", err=True)
    header = ["layer", "stored as", "bits per weight, tables included", "dB", "`rice` in as many"]
    section = f"""## Vector codebooks and transforms

`python -m benchmarks.vector_codebooks`: prototypes against `rice` at equal bytes, on weights of the
shipped model (at most {MOST_CHANNELS} channels of a layer), rounded to nearest without audio. Power
of the weights over that of the errors; 6 dB are one bit. Codes of transforms are taken to be ideal,
which favours them. {host()}.

{table(header, rows)}
"""
    click.echo(section)
    replace_section("vector-codebooks", section)


if __name__ == "__main__":
    main()
