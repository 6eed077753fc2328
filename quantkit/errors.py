"""Every error that quantkit raises on purpose.

::

    QuantkitError                      exit code 2: one clear line, never a traceback
    ├── InputError (ValueError)        something that was handed in is wrong
    │   ├── AudioError                 a clip that cannot be read or used
    │   ├── CorpusError                a folder without usable utterances
    │   ├── CheckpointError            PyTorch weights that do not fit their architecture
    │   ├── ModelError                 an ``.onnx`` that is broken, foreign or unsupported
    │   │   └── UnusableClipError      one that fails, or gives NaN, on one clip
    │   ├── FormatError                a JSON file with a wrong schema, or for another model
    │   └── BundleError                a bundle that is incomplete or tries to leave its folder
    ├── OutputError (OSError)          the result could not be written: full disk, no permission
    ├── MissingDependencyError (ImportError)
    │                                  an optional library or program is not installed
    └── CheckFailed                    exit code 1: a check was run and its answer is no
        ├── GateFailed                 a model got worse than its baseline
        ├── NothingQuantized           a model of which no layer would be quantized
        ├── ParityError                the exported graph differs from PyTorch
        └── VerificationError          a bundle or artifact differs from its checksums
"""

from __future__ import annotations

from quantkit.printable import printable

# Characters of a message; names in a damaged file may be megabytes.
_LONGEST_MESSAGE, _KEPT_AT_THE_END = 1_000, 200


class QuantkitError(Exception):
    """Base of all errors; ``exit_code`` is what the command line ends with.

    A message of more than 1,000 characters loses its middle, and what a terminal would obey instead
    of print becomes an escape.
    """

    exit_code = 2

    def __str__(self) -> str:
        text = "\n".join(map(printable, super().__str__().split("\n")))
        if len(text) <= _LONGEST_MESSAGE:
            return text
        begin = text[: _LONGEST_MESSAGE - _KEPT_AT_THE_END]
        return f"{begin} … {text[-_KEPT_AT_THE_END:]}"


class InputError(QuantkitError, ValueError):
    """Something that was handed in cannot be used."""


class AudioError(InputError):
    """An audio clip cannot be read or used."""


class CorpusError(InputError):
    """A corpus is missing, malformed, or has no usable utterance."""


class CheckpointError(InputError):
    """A PyTorch checkpoint is missing, damaged, or does not fit its architecture."""


class ModelError(InputError):
    """An ``.onnx`` file is damaged, foreign, or holds something unsupported."""


class UnusableClipError(ModelError):
    """A model fails, or gives NaN, on one clip; others may do.

    Args:
        clip: its name.
    """

    def __init__(self, message: str, clip: str) -> None:
        super().__init__(message)
        self.clip = clip


class FormatError(InputError):
    """A JSON or TOML file lacks a field, has a wrong or unknown one, or is for another model."""


class BundleError(InputError):
    """A bundle's manifest is missing or malformed, or names a path outside its folder."""


class OutputError(QuantkitError, OSError):
    """A result could not be written; what was there before is untouched."""


class MissingDependencyError(QuantkitError, ImportError):
    """An optional library or program is needed and not installed."""


class CheckFailed(QuantkitError):
    """A check ran to its end and failed."""

    exit_code = 1


class GateFailed(CheckFailed):
    """A model is worse than its baseline by more than tolerance and noise."""


class NothingQuantized(CheckFailed):
    """A run that was to quantize a model would leave every weight as it is."""


class ParityError(CheckFailed):
    """An exported graph does not reproduce the PyTorch model."""


class VerificationError(CheckFailed):
    """A bundle or artifact does not match its recorded checksums."""
