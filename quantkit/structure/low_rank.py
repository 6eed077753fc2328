"""The two halves of a layer of lower rank, from the second moments of its output.

A layer y = W x + b becomes V, which makes r channels of what W reads, and U, which makes the
outputs of these. With m and C the mean and the covariance of y over unlabelled audio, and E the r
leading eigenvectors of C in columns,

    y ≈ m + E Eᵀ (y − m),   V = R Eᵀ W,   U = E Rᵀ,   b' = b + (I − E Eᵀ)(m − b),

has the least expected squared error of all layers of rank r: reduced-rank regression (A. Izenman,
"Reduced-rank regression for the multivariate linear model", Journal of Multivariate Analysis 5,
1975); for convolutions X. Zhang, J. Zou, K. He and J. Sun, "Accelerating Very Deep Convolutional
Networks for Classification and Detection", 2015, equations 4 and 5. What is lost is the sum of the
other eigenvalues.

R is any rotation of the r channels, which changes neither result nor error. An integer kernel has
one grid for all of them, and principal components as they are differ a hundredfold, so most would
get a few levels. The R is taken for which all have the same variance: on the shipped model at half
its ranks, static int8 then adds 0.0013 nats per frame instead of 0.0029.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from quantkit.arrays import Doubles, FloatArray

# Share of the mean of a metric's diagonal that is added to it.
_LEAST_METRIC = 1e-5


@dataclass(frozen=True)
class Covariance:
    """Mean and covariance of some channels, (channels,) and (channels, channels)."""

    mean: Doubles
    values: Doubles


@dataclass(frozen=True)
class Spectrum:
    """The principal components of a layer's output.

    Args:
        mean: (output channels,) without the bias: of W x.
        variances: (components,) the largest first.
        directions: (output channels, components): orthonormal columns.
    """

    mean: Doubles
    variances: Doubles
    directions: Doubles

    @classmethod
    def of(cls, output: Covariance) -> Spectrum:
        """From the covariance of W x."""
        with threadpool_limits(1, user_api="blas"):
            values, vectors = np.linalg.eigh(output.values)
        return cls(output.mean, np.maximum(values[::-1], 0.0), vectors[:, ::-1])

    @classmethod
    def through(cls, matrix: FloatArray, inputs: Covariance) -> Spectrum:
        """From the covariance of x, for a layer with fewer inputs than outputs.

        Those of W C Wᵀ = A Aᵀ, with A = W C^½, are A times those of Aᵀ A, which is smaller.

        Args:
            matrix: (output channels, inputs): W.
        """
        weight = matrix.astype(np.float64)
        with threadpool_limits(1, user_api="blas"):
            values, vectors = np.linalg.eigh(inputs.values)
            root = weight @ (vectors * np.sqrt(np.maximum(values, 0.0)))
            variances, turn = np.linalg.eigh(root.T @ root)
            # Orthonormal also where a component has next to no variance.
            directions, _ = np.linalg.qr((root @ turn)[:, ::-1])
        return cls(weight @ inputs.mean, np.maximum(variances[::-1], 0.0), directions)


@dataclass(frozen=True)
class LowRank:
    """The weights of both halves.

    Args:
        reduce: (rank, weights of each output channel): V.
        expand: (output channels, rank): U.
        shift: (output channels,): b' − b.
        lost: share of the output's power around its mean that is lost.
    """

    reduce: FloatArray
    expand: FloatArray
    shift: FloatArray
    lost: float

    @property
    def product(self) -> FloatArray:
        """(output channels, weights of each): what both halves multiply by."""
        return self.expand @ self.reduce


def low_rank(matrix: FloatArray, output: Spectrum, rank: int) -> LowRank:
    """The best halves of ``rank`` channels.

    >>> weight = np.outer([1.0, 2.0, 3.0], [1.0, 0.0, 1.0, 2.0]).astype(np.float32)
    >>> seen = Spectrum.of(Covariance(np.zeros(3), weight @ weight.T))
    >>> bool(np.allclose(low_rank(weight, seen, 1).product, weight, atol=1e-5))
    True

    Args:
        matrix: (output channels, weights of each): W.
        rank: at most the number of components.
    """
    leading, kept = output.directions[:, :rank], output.variances[:rank]
    with threadpool_limits(1, user_api="blas"):
        expand = leading @ even_rotation(kept).T
        reduce = expand.T @ matrix.astype(np.float64)
        shift = output.mean - leading @ (leading.T @ output.mean)
    whole = float(output.variances.sum())
    return LowRank(
        np.ascontiguousarray(reduce, np.float32),
        np.ascontiguousarray(expand, np.float32),
        shift.astype(np.float32),
        1.0 - float(kept.sum()) / whole if whole > 0.0 else 0.0,
    )


def low_input_rank(matrix: FloatArray, inputs: Covariance, rank: int) -> LowRank:
    """A layer of several taps behind one of a single tap, with fewer channels between them.

    With W_k the weights of tap k and x̂ = A B x, the error Σ_k W_k (x − x̂) has, where neighbouring
    positions err independently, the power of x − x̂ in the metric G = Σ_k W_kᵀ W_k = L Lᵀ. Its least
    is found by the principal components Q of Lᵀ x: B = R Qᵀ Lᵀ, A = L⁻ᵀ Q Rᵀ. Both ranks together
    are a Tucker-2 decomposition (Y. Kim et al., "Compression of Deep Convolutional Neural Networks
    for Fast and Low Power Mobile Applications", 2016), of the results instead of the weights.

    Args:
        matrix: (output channels, input channels · taps): W.
        inputs: x.

    Returns:
        ``reduce`` (rank, input channels): B; ``expand`` (output channels, rank · taps): W_k A.
    """
    channels = len(inputs.mean)
    taps = matrix.astype(np.float64).reshape(len(matrix), channels, -1)
    with threadpool_limits(1, user_api="blas"):
        flat = taps.transpose(1, 0, 2).reshape(channels, -1)
        metric = flat @ flat.T
        # Channels that no weight meets would make it singular.
        metric += np.eye(channels) * (_LEAST_METRIC * max(np.trace(metric), 1e-30) / channels)
        root = np.linalg.cholesky(metric)
        values, vectors = np.linalg.eigh(root.T @ inputs.values @ root)
        leading = vectors[:, ::-1][:, :rank]
        kept = np.maximum(values[::-1][:rank], 0.0)
        turned = even_rotation(kept) @ leading.T
        reduce = turned @ root.T
        back = np.linalg.solve(root.T, turned.T)
        expand = np.einsum("oik,ir->ork", taps, back)
        shift = taps.sum(axis=2) @ (inputs.mean - back @ (reduce @ inputs.mean))
    whole = float(np.maximum(values, 0.0).sum())
    return LowRank(
        np.ascontiguousarray(reduce, np.float32),
        np.ascontiguousarray(expand.reshape(len(matrix), -1), np.float32),
        shift.astype(np.float32),
        1.0 - float(kept.sum()) / whole if whole > 0.0 else 0.0,
    )


def stand_in(reduce: tuple[int, int], expand: tuple[int, int], name: str) -> LowRank:
    """Halves of these shapes with any numbers, for what depends on shapes only.

    Args:
        name: of the layer; two of them have other numbers, as equal weights are stored once.
    """
    random = np.random.default_rng(zlib.crc32(name.encode()))
    first, second = (
        random.standard_normal(shape, np.float32) / math.sqrt(shape[1])
        for shape in (reduce, expand)
    )
    return LowRank(first, second, random.standard_normal(expand[0], np.float32), 0.0)


def even_rotation(variances: Doubles) -> Doubles:
    """R, (n, n): a rotation of uncorrelated channels after which all have the mean variance.

    First a cosine transform, so that each channel has a part of each and is nearly Gaussian; then
    plane rotations, each of which gives one channel the mean variance exactly (T. Chan and K. Li,
    "Diagonalizing and Related Problems", 1983; Schur and Horn: it always exists).
    """
    count = len(variances)
    rotation = _cosine(count)
    mixed = (rotation * variances) @ rotation.T
    mean = float(variances.mean()) if count else 0.0
    settled = np.zeros(count, bool)
    for _ in range(count - 1):
        diagonal = mixed.diagonal()
        low = int(np.argmin(np.where(settled, np.inf, diagonal)))
        high = int(np.argmax(np.where(settled, -np.inf, diagonal)))
        cosine, sine = _levelling(diagonal[low], diagonal[high], mixed[low, high], mean)
        turn = np.array([[cosine, sine], [-sine, cosine]])
        pair = [low, high]
        mixed[pair] = turn @ mixed[pair]
        mixed[:, pair] = mixed[:, pair] @ turn.T
        rotation[pair] = turn @ rotation[pair]
        settled[low] = True
    return rotation


def _levelling(low: float, high: float, covariance: float, mean: float) -> tuple[float, float]:
    """Cosine and sine of the plane rotation that gives the first of two channels variance ``mean``.

    With t = tan of the angle: (low + 2 t covariance + t² high) / (1 + t²) = mean.
    """
    above, below = high - mean, low - mean
    if above <= 0.0 or below >= 0.0:
        return 1.0, 0.0
    root = math.sqrt(covariance**2 - above * below)
    # The smaller angle of the two.
    tangent = (-covariance + root) / above if covariance >= 0.0 else (-covariance - root) / above
    cosine = 1.0 / math.hypot(1.0, tangent)
    return cosine, tangent * cosine


def _cosine(count: int) -> Doubles:
    """The orthonormal cosine transform, (count, count)."""
    index = np.arange(count)
    table: Doubles = np.cos(np.pi * np.outer(index, index + 0.5) / max(1, count)).T
    table *= math.sqrt(2.0 / max(1, count))
    table[:, :1] = math.sqrt(1.0 / max(1, count))
    return table
