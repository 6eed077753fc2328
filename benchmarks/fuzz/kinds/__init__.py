"""The kinds of input, by name."""

from __future__ import annotations

from benchmarks.fuzz.case import Kind
from benchmarks.fuzz.kinds.artifacts import Artifacts
from benchmarks.fuzz.kinds.audio import AudioFiles
from benchmarks.fuzz.kinds.bundles import BundleExamples, Bundles, SignedBundles
from benchmarks.fuzz.kinds.checkpoints import Checkpoints
from benchmarks.fuzz.kinds.command_lines import CommandLines
from benchmarks.fuzz.kinds.corpora import Corpora
from benchmarks.fuzz.kinds.documents import Documents
from benchmarks.fuzz.kinds.foreign import ForeignModels
from benchmarks.fuzz.kinds.labels import LabelFiles
from benchmarks.fuzz.kinds.rare_words import RareWordLists
from benchmarks.fuzz.kinds.users import UserTables

_ALL: tuple[Kind, ...] = (
    Artifacts(),
    Documents(),
    Bundles(),
    SignedBundles(),
    BundleExamples(),
    AudioFiles(),
    Checkpoints(),
    ForeignModels(),
    LabelFiles(),
    Corpora(),
    UserTables(),
    RareWordLists(),
    CommandLines(),
)

#: In the order of the report.
KINDS = {kind.name: kind for kind in _ALL}
