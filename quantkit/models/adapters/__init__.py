"""Which ``transformers`` models can be exported: one family per file.

A new family is one more file with a ``FAMILY``, and its line in :data:`FAMILIES`.
"""

from __future__ import annotations

from typing import NamedTuple

from transformers import PreTrainedModel

from quantkit.models.adapters import hubert, wav2vec2, wav2vec2_conformer, wavlm
from quantkit.models.adapters.family import Family
from quantkit.tasks.names import CLASSIFICATION, CTC

__all__ = ["ARCHITECTURES", "FAMILIES", "Architecture", "Family"]

FAMILIES = (wav2vec2.FAMILY, wav2vec2_conformer.FAMILY, hubert.FAMILY, wavlm.FAMILY)


class Architecture(NamedTuple):
    """A class of ``transformers``, the name of its task, its family."""

    model: type[PreTrainedModel]
    task: str
    family: Family


#: By the name that ``architectures`` of a ``config.json`` has.
ARCHITECTURES: dict[str, Architecture] = {
    model.__name__: Architecture(model, task, family)
    for family in FAMILIES
    for model, task in ((family.ctc, CTC), (family.classification, CLASSIFICATION))
}
