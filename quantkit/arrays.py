"""Types of NumPy arrays, by what their elements are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: Audio, features, weights, activations: what models compute in.
FloatArray = npt.NDArray[np.float32]
#: Sums and errors that float32 would round too much.
Doubles = npt.NDArray[np.float64]
#: Positions in another array.
IndexArray = npt.NDArray[np.intp]
#: Counts, lengths and tokens.
IntArray = npt.NDArray[np.int64]
#: A yes or no for each element.
Booleans = npt.NDArray[np.bool_]
#: Elements of any kind.
Array = npt.NDArray[Any]
