"""The ``transformers`` models that can be exported: one family per file.

A new family is one more file with a ``FAMILY``, and its line in :data:`FAMILIES`; other packages
add theirs by entry points.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeGuard

from transformers import PreTrainedModel

from quantkit.models.adapters import (
    data2vec,
    hubert,
    lasr,
    parakeet,
    unispeech,
    wav2vec2,
    wav2vec2_bert,
    wav2vec2_conformer,
    wavlm,
)
from quantkit.models.adapters.family import AnyFamily, Family, FeatureFamily
from quantkit.plugins import PluginGroup

__all__ = [
    "ARCHITECTURES",
    "FAMILIES",
    "Architecture",
    "Family",
    "FeatureFamily",
    "architecture_names",
    "find_architecture",
]

FAMILIES: Mapping[str, AnyFamily] = {
    "wav2vec2": wav2vec2.FAMILY,
    "wav2vec2-conformer": wav2vec2_conformer.FAMILY,
    "hubert": hubert.FAMILY,
    "wavlm": wavlm.FAMILY,
    "unispeech": unispeech.FAMILY,
    "data2vec-audio": data2vec.FAMILY,
    "parakeet": parakeet.FAMILY,
    "wav2vec2-bert": wav2vec2_bert.FAMILY,
    "lasr": lasr.FAMILY,
}


def _is_family(value: object) -> TypeGuard[AnyFamily]:
    return isinstance(value, AnyFamily)


PLUGINS = PluginGroup[AnyFamily](
    "quantkit.families", "family", "a quantkit.models.adapters.Family", _is_family, FAMILIES
)


class Architecture(NamedTuple):
    """A class of ``transformers``, the name of its task, its family."""

    model: type[PreTrainedModel]
    task: str
    family: AnyFamily


def _architectures(family: AnyFamily) -> dict[str, Architecture]:
    return {
        model.__name__: Architecture(model, task, family) for model, task in family.tasks.items()
    }


#: quantkit's own, by the name that ``architectures`` of a ``config.json`` has.
ARCHITECTURES: dict[str, Architecture] = {
    name: architecture
    for family in FAMILIES.values()
    for name, architecture in _architectures(family).items()
}


def find_architecture(name: str) -> Architecture | None:
    """The architecture of that name, quantkit's own or an installed package's; None for neither."""
    return ARCHITECTURES.get(name) or _added().get(name)


def architecture_names() -> tuple[str, ...]:
    """Every name that :func:`find_architecture` knows, sorted."""
    return tuple(sorted({**_added(), **ARCHITECTURES}))


def _added() -> dict[str, Architecture]:
    return {
        name: architecture
        for plugin in PLUGINS.all()
        for name, architecture in _architectures(plugin.value).items()
    }
