"""``baseline.json``: accepted figures of each model, with tolerances.

.. code-block:: json

    {"schema": "quantkit.baseline/1", "quantkit": "0.1.0",
     "host": {"cpu": "…", "machine": "x86_64", "vnni": true, "onnxruntime": "1.31.1"},
     "corpus": {"name": "calibration_data", "utterances": 80, "sha256": "…"},
     "decoder": "greedy",
     "tolerances": {"levenshtein": {"relative": 0.02, "absolute": 0.02},
                    "size_bytes": {"relative": 0.005, "absolute": 0},
                    "speedup": {"relative": 0.25, "absolute": 0}},
     "models": [{"name": "float32", "sha256": "…", "size_bytes": 94500000, "levenshtein": 1.5,
                 "speedup": 1.0, "speedup_ci": [1.0, 1.0], "distances": {"clip-1": 2}}]}

An update keeps the tolerances. A model may have its own ``tolerances``, which override the general
ones criterion by criterion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantkit.benchmarking.figures import (
    CorpusIdentity,
    Figures,
    ModelFigures,
    check_models,
    read_host,
    read_model,
)
from quantkit.disk.files import read_json, write_json
from quantkit.errors import FormatError
from quantkit.json_fields import Fields, Range
from quantkit.version import __version__

BASELINE_SCHEMA = "quantkit.baseline/1"
CRITERIA = ("levenshtein", "size_bytes", "speedup")


@dataclass(frozen=True)
class Tolerance:
    """Permitted regression of a value ``b``: ``relative * b + absolute``, in its unit."""

    relative: float
    absolute: float = 0.0

    def of(self, baseline: float) -> float:
        """The permitted regression of ``baseline``."""
        return self.relative * baseline + self.absolute


# Levenshtein: 2 % is the project's requirement for int8; the absolute part is two edits in 100
# utterances, so that a nearly perfect model does not fail because of one letter. Size is
# deterministic up to metadata. Speed-ups of one model vary by 10–20 % between machines of one CPU
# family.
DEFAULT_TOLERANCES: Mapping[str, Tolerance] = {
    "levenshtein": Tolerance(relative=0.02, absolute=0.02),
    "size_bytes": Tolerance(relative=0.005),
    "speedup": Tolerance(relative=0.25),
}


@dataclass(frozen=True)
class Baseline:
    """Accepted figures with their tolerances: the general ones, and those of single models."""

    figures: Figures
    tolerances: Mapping[str, Tolerance] = field(default_factory=lambda: dict(DEFAULT_TOLERANCES))
    model_tolerances: Mapping[str, Mapping[str, Tolerance]] = field(default_factory=dict)

    def tolerance(self, model: str, criterion: str) -> Tolerance:
        """The tolerance that applies to one model and criterion."""
        return self.model_tolerances.get(model, {}).get(criterion, self.tolerances[criterion])

    def dropped(self, figures: Figures) -> list[str]:
        """Models of this baseline that are missing in ``figures``."""
        return [m.name for m in self.figures.models if figures.model(m.name) is None]

    def renewed(self, figures: Figures) -> Baseline:
        """The new figures with the same tolerances."""
        return Baseline(figures, self.tolerances, self.model_tolerances)


def read_baseline(source: Path) -> Baseline:
    """Read ``baseline.json``.

    Raises:
        FormatError: unreadable, another schema, a field is missing, a mean is not that of its
            distances, or a tolerance is negative or of an unknown criterion.
    """
    if not source.exists():
        raise FormatError(f"there is no baseline {source}; make one with: gate … --update")
    content = Fields(read_json(source, BASELINE_SCHEMA), str(source))
    corpus = content.child("corpus")
    models, own = [], {}
    for entry in content.children("models"):
        distances = entry.numbers("distances", Range(0))
        if not distances:
            raise FormatError(f"{entry.where}: distances is empty")
        model = read_model(entry, distances)
        _require_own_mean(entry, model)
        models.append(model)
        if entry.has("tolerances"):
            own[model.name] = _read_tolerances(entry.child("tolerances"))
    if not models:
        raise FormatError(f"{source} contains no model")
    check_models(models, str(source))
    figures = Figures(
        host=read_host(content.child("host")),
        corpus=CorpusIdentity(
            corpus.text("name", default=""),
            corpus.whole("utterances", limits=Range(1)),
            corpus.text("sha256"),
        ),
        decoder=content.text("decoder"),
        models=tuple(models),
        normalization=content.text("normalization", default=""),
    )
    general = {**DEFAULT_TOLERANCES, **_read_tolerances(content.child("tolerances"))}
    return Baseline(figures, general, own)


def write_baseline(baseline: Baseline, destination: Path) -> None:
    """Write ``baseline.json`` atomically."""
    figures = baseline.figures
    models: list[dict[str, Any]] = []
    for model in figures.models:
        entry: dict[str, Any] = {
            "name": model.name,
            "sha256": model.sha256,
            "size_bytes": model.size_bytes,
            "levenshtein": model.levenshtein,
            "speedup": model.speedup,
            "speedup_ci": list(model.speedup_ci) if model.speedup_ci else None,
        }
        if model.name in baseline.model_tolerances:
            entry["tolerances"] = _tolerances_json(baseline.model_tolerances[model.name])
        entry["distances"] = {
            name: int(value) if value.is_integer() else value
            for name, value in sorted(model.distances.items())
        }
        models.append(entry)
    content = {
        "schema": BASELINE_SCHEMA,
        "quantkit": __version__,
        "host": vars(figures.host),
        "corpus": vars(figures.corpus),
        "decoder": figures.decoder,
        **({"normalization": figures.normalization} if figures.normalization else {}),
        "tolerances": _tolerances_json(baseline.tolerances),
        "models": models,
    }
    write_json(destination, content)


def _require_own_mean(entry: Fields, model: ModelFigures) -> None:
    """The distances decide; a mean that people read beside them must be theirs."""
    if not entry.has("levenshtein"):
        return
    stated = entry.number("levenshtein")
    if not math.isclose(stated, model.levenshtein, rel_tol=1e-9):
        raise FormatError(
            f"{entry.where}: levenshtein is {stated:g}, and the mean of its distances is "
            f"{model.levenshtein:g}: one of them was changed; make the baseline anew"
        )


def _tolerances_json(tolerances: Mapping[str, Tolerance]) -> dict[str, dict[str, float]]:
    return {criterion: dict(vars(tolerance)) for criterion, tolerance in tolerances.items()}


def _read_tolerances(fields: Fields) -> dict[str, Tolerance]:
    unknown = set(fields.names()) - set(CRITERIA)
    if unknown:
        raise FormatError(
            f"{fields.where}: {sorted(unknown)[0]!r} is not a criterion; use {', '.join(CRITERIA)}"
        )
    tolerances = {}
    for criterion in CRITERIA:
        if fields.has(criterion):
            parts = fields.child(criterion)
            tolerances[criterion] = Tolerance(
                relative=parts.number("relative", default=0.0, limits=Range(0)),
                absolute=parts.number("absolute", default=0.0, limits=Range(0)),
            )
    return tolerances
