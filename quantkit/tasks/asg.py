"""Models of the auto segmentation criterion: labels without a blank, and transitions.

Collobert, Puhrsch and Synnaeve, "Wav2Letter", 2016; see :mod:`quantkit.text.asg`. The graph is that
of a CTC model. What is different stands in the labels of the metadata: repetition symbols and
transitions. Two models are compared by the outputs of single frames, as those of CTC are. The
divergence of whole paths (:func:`quantkit.text.asg.path_divergence`) would be the exact one, but
takes a forward-backward pass for every clip and trial; ``benchmarks/asg.py`` compares both.
"""

from __future__ import annotations

from typing import ClassVar

from quantkit.tasks.base import Adoption
from quantkit.tasks.ctc import CtcTask
from quantkit.tasks.names import ASG


class AsgTask(CtcTask):
    """As a CTC model; its labels say how paths are scored."""

    name = ASG
    # A file of labels holds no transitions.
    adoption: ClassVar[Adoption | None] = None
    follows = frozenset(("decoder", "width", "words"))
