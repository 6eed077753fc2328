"""The models of one bench run, opened and checked to be comparable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.disk.files import sha256_of
from quantkit.errors import InputError
from quantkit.graph.artifact import total_size
from quantkit.printable import printable
from quantkit.runtime.speech_model import SpeechModel
from quantkit.tasks.open import open_speech_model
from quantkit.text.decoding import Decoding
from quantkit.text.scoring import TextScoring, scoring_of


@dataclass(frozen=True)
class BenchModel:
    """One measured model.

    Args:
        name: unique in the run.
        path: the artifact.
        model: opened with the run's first number of threads.
        scoring: how its texts are compared with transcripts.
        sha256: of the ``.onnx`` file.
        size_bytes: of the file and its external data.
        variant: description of how its layers are stored and computed.
    """

    name: str
    path: Path
    model: SpeechModel
    scoring: TextScoring
    sha256: str
    size_bytes: int
    variant: str


def open_contestants(
    paths: Sequence[Path],
    threads: int,
    decoding: Decoding | None = None,
    normalization: str = "",
    shown: Sequence[Path] | None = None,
) -> list[BenchModel]:
    """Open models that can be compared, that is, whose outputs have the same spelling.

    Args:
        normalization: see :func:`~quantkit.text.scoring.scoring_of`.
        shown: what the models are called after, such as the folders of their files; None:
            ``paths``.

    Raises:
        InputError: no model, the same file twice, different labels or tasks, or a normalisation
            that does not apply.
        ModelError: a file is not an artifact.
    """
    if not paths:
        raise InputError("give at least one model to measure")
    opened = []
    for path, name in zip(paths, unique_names(shown or paths), strict=True):
        model = open_speech_model(path, threads, decoding=decoding)
        opened.append(
            BenchModel(
                name=printable(name),
                path=path,
                model=model,
                scoring=scoring_of(model.scoring, normalization),
                sha256=sha256_of(path),
                size_bytes=total_size(path),
                variant=variant_of(model.info.plan),
            )
        )
    first = opened[0]
    for other in opened[1:]:
        if other.scoring != first.scoring:
            raise InputError(
                f"{other.path} has other labels than {first.path}, so their errors cannot be "
                "compared; bench them in separate runs"
            )
    return opened


def unique_names(paths: Sequence[Path]) -> list[str]:
    """File names without suffix, with as many parent folders as needed to make them unique.

    >>> unique_names([Path("a/float32.onnx"), Path("b/float32.onnx"), Path("b/int8.onnx")])
    ['a/float32', 'b/float32', 'int8']

    Raises:
        InputError: one file is given twice.
    """
    resolved = [path.resolve() for path in paths]
    twice = next((p for p, r in zip(paths, resolved, strict=True) if resolved.count(r) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice")
    parts = [path.with_suffix("").parts for path in resolved]
    depths = [1] * len(paths)
    while True:
        names = ["/".join(p[-depth:]) for p, depth in zip(parts, depths, strict=True)]
        counts = Counter(names)
        if max(counts.values()) == 1:
            return names
        if all(depth >= len(p) for p, depth in zip(parts, depths, strict=True)):
            # Only the suffixes differ.
            return [str(path) for path in paths]
        depths = [
            min(depth + 1, len(p)) if counts[name] > 1 else depth
            for name, p, depth in zip(names, parts, depths, strict=True)
        ]


def variant_of(plan: dict[str, Any] | None) -> str:
    """Description of a model's plan.

    >>> layers = [{"codec": "float32", "bits": 32, "compute": "float32"}] + 10 * [
    ...     {"codec": "grouped", "bits": 3, "compute": "static"}]
    >>> variant_of({"layers": layers})
    '1 float32, 10 grouped:3 static'
    """
    rows = plan.get("layers") if plan else None
    if not isinstance(rows, list):
        return "not recorded"
    kinds: Counter[str] = Counter()
    for row in rows:
        codec, compute = str(row.get("codec", "?")), str(row.get("compute", "?"))
        width = str(row.get("bits", ""))
        # The names int8, float16 and ternary imply the bits.
        if width and width not in codec and codec != "ternary":
            codec = f"{codec}:{width}"
        kinds[codec if codec == compute else f"{codec} {compute}"] += 1
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no layers"
