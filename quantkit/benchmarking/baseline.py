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
                 "speedup": 1.0, "speedup_ci": [1.0, 1.0], "distances": {"clip-1": 2},
                 "texts": {"clip-1": "what it wrote"}, "divergences": {}}]}

An update keeps the tolerances. A model may have its own ``tolerances``, which override the general
ones criterion by criterion. ``slice_tolerances`` hold for slices, by the name of a slice
(``language:de``), of a property (``language``) or ``*``; slices without one have that of their
criterion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
#: What a gate can hold a model to; see :mod:`quantkit.benchmarking.series` for the first four.
CRITERIA = ("levenshtein", "wer", "changed", "divergence", "size_bytes", "speedup")
#: What it does hold a model to unless it is told, with transcripts and without.
USUAL_CRITERIA = ("levenshtein", "size_bytes", "speedup")
LABEL_FREE_CRITERIA = ("changed", "divergence", "size_bytes", "speedup")
#: Of any slice.
ANY_SLICE = "*"


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
# family. Words changed: int8 changes up to 8 % of those of a weak model. Divergence: int8 of models
# that bear it costs a hundredth of a nat at most.
DEFAULT_TOLERANCES: Mapping[str, Tolerance] = {
    "levenshtein": Tolerance(relative=0.02, absolute=0.02),
    "wer": Tolerance(relative=0.02, absolute=0.002),
    "changed": Tolerance(relative=0.02, absolute=0.1),
    "divergence": Tolerance(relative=0.02, absolute=0.05),
    "size_bytes": Tolerance(relative=0.005),
    "speedup": Tolerance(relative=0.25),
}


@dataclass(frozen=True)
class Baseline:
    """Accepted figures with their tolerances: the general ones, and those of single models."""

    figures: Figures
    tolerances: Mapping[str, Tolerance] = field(default_factory=lambda: dict(DEFAULT_TOLERANCES))
    model_tolerances: Mapping[str, Mapping[str, Tolerance]] = field(default_factory=dict)
    slice_tolerances: Mapping[str, Tolerance] = field(default_factory=dict)

    def slice_tolerance(self, model: str, criterion: str, by: str, value: str) -> Tolerance:
        """The tolerance of one slice: its own, its property's, that of any, or the criterion's."""
        for name in (f"{by}:{value}", by, ANY_SLICE):
            if name in self.slice_tolerances:
                return self.slice_tolerances[name]
        return self.tolerance(model, criterion)

    def tolerance(self, model: str, criterion: str) -> Tolerance:
        """The tolerance that applies to one model and criterion."""
        return self.model_tolerances.get(model, {}).get(criterion, self.tolerances[criterion])

    def dropped(self, figures: Figures) -> list[str]:
        """Models of this baseline that are missing in ``figures``."""
        return [m.name for m in self.figures.models if figures.model(m.name) is None]

    def renewed(self, figures: Figures) -> Baseline:
        """The new figures with the same tolerances."""
        return replace(self, figures=figures)

    def with_tolerances(
        self, general: Mapping[str, Tolerance], slices: Mapping[str, Tolerance]
    ) -> Baseline:
        """The same figures; some tolerances, of all models, are others.

        Args:
            general: by criterion.
            slices: by the name of a slice or property.
        """
        own = {
            model: {name: kept for name, kept in each.items() if name not in general}
            for model, each in self.model_tolerances.items()
        }
        return Baseline(
            self.figures,
            {**self.tolerances, **general},
            own,
            {**self.slice_tolerances, **slices},
        )


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
        texts = _texts(entry)
        if not distances and not texts:
            raise FormatError(f"{entry.where}: distances is empty")
        moved = entry.numbers("divergences", Range(0)) if entry.has("divergences") else {}
        model = read_model(entry, distances, texts, moved)
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
            corpus.text("added", default=""),
        ),
        decoder=content.text("decoder"),
        models=tuple(models),
        normalization=content.text("normalization", default=""),
    )
    general = {**DEFAULT_TOLERANCES, **_read_tolerances(content.child("tolerances"))}
    slices = {}
    if content.has("slice_tolerances"):
        rules = content.child("slice_tolerances")
        slices = {name: _tolerance(rules.child(name)) for name in rules.names()}
    return Baseline(figures, general, own, slices)


def _texts(entry: Fields) -> dict[str, str]:
    if not entry.has("texts"):
        return {}
    texts = entry.child("texts")
    return {name: texts.text(name) for name in texts.names()}


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
        if any(model.texts.values()):
            entry["texts"] = dict(sorted(model.texts.items()))
        if model.divergences:
            entry["divergences"] = {
                name: float(f"{value:.6g}") for name, value in sorted(model.divergences.items())
            }
        models.append(entry)
    content = {
        "schema": BASELINE_SCHEMA,
        "quantkit": __version__,
        "host": vars(figures.host),
        "corpus": {name: value for name, value in vars(figures.corpus).items() if value != ""},
        "decoder": figures.decoder,
        **({"normalization": figures.normalization} if figures.normalization else {}),
        "tolerances": _tolerances_json(baseline.tolerances),
        **(
            {"slice_tolerances": _tolerances_json(baseline.slice_tolerances)}
            if baseline.slice_tolerances
            else {}
        ),
        "models": models,
    }
    write_json(destination, content)


def _require_own_mean(entry: Fields, model: ModelFigures) -> None:
    """The distances decide; a mean that people read beside them must be theirs."""
    if not entry.has("levenshtein") or not model.distances:
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
            tolerances[criterion] = _tolerance(fields.child(criterion))
    return tolerances


def _tolerance(parts: Fields) -> Tolerance:
    return Tolerance(
        relative=parts.number("relative", default=0.0, limits=Range(0)),
        absolute=parts.number("absolute", default=0.0, limits=Range(0)),
    )
