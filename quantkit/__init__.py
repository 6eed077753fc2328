"""quantkit: from a PyTorch speech recogniser to the ONNX file that fits a user and a budget.

>>> import quantkit
>>> model = quantkit.load("int8.onnx")  # doctest: +SKIP
>>> model.transcribe("clip.wav").text  # doctest: +SKIP
'nobody in our village had ever owned a piano'

The verbs are those of the command line. Each name below is imported on first use, so that whoever
only wants to transcribe waits for neither PyTorch nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from quantkit.telemetry import switch_off_telemetry
from quantkit.version import __version__ as __version__

# Here, so that it happens before any module imports ONNX Runtime.
switch_off_telemetry()

if TYPE_CHECKING:
    from quantkit.api.added_sounds import AddedSounds as AddedSounds
    from quantkit.api.analyze import AnalyzeResult as AnalyzeResult
    from quantkit.api.analyze import analyze as analyze
    from quantkit.api.bench import bench as bench
    from quantkit.api.explain import explain as explain
    from quantkit.api.export import ExportResult as ExportResult
    from quantkit.api.export import export as export
    from quantkit.api.finetune import finetune as finetune
    from quantkit.api.fleet import FleetRequest as FleetRequest
    from quantkit.api.fleet import fleet as fleet
    from quantkit.api.gate import BaselineUpdate as BaselineUpdate
    from quantkit.api.gate import gate as gate
    from quantkit.api.gate import update_baseline as update_baseline
    from quantkit.api.inspect import inspect as inspect
    from quantkit.api.load import Model as Model
    from quantkit.api.load import load as load
    from quantkit.api.personalize import personalize as personalize
    from quantkit.api.plan import plan as plan
    from quantkit.api.plan import resize_plan as resize_plan
    from quantkit.api.plan_result import PlanResult as PlanResult
    from quantkit.api.plan_settings import PlanSettings as PlanSettings
    from quantkit.api.pull import PullResult as PullResult
    from quantkit.api.pull import pull as pull
    from quantkit.api.push import PushResult as PushResult
    from quantkit.api.push import push as push
    from quantkit.api.quantize import quantize as quantize
    from quantkit.api.quantize import quantize_presets as quantize_presets
    from quantkit.api.ship import ShipResult as ShipResult
    from quantkit.api.ship import ship as ship
    from quantkit.api.stream import SpeechStream as SpeechStream
    from quantkit.api.stream import stream as stream
    from quantkit.api.train import TrainListener as TrainListener
    from quantkit.api.train import TrainResult as TrainResult
    from quantkit.api.train import train as train
    from quantkit.api.unpack import UnpackResult as UnpackResult
    from quantkit.api.unpack import unpack as unpack
    from quantkit.api.verify import VerifyResult as VerifyResult
    from quantkit.api.verify import verify as verify
    from quantkit.audio.corpora import open_corpus as open_corpus
    from quantkit.audio.selection import Selection as Selection
    from quantkit.audio.utterance import Corpus as Corpus
    from quantkit.audio.utterance import Utterance as Utterance
    from quantkit.benchmarking.gate_result import GateResult as GateResult
    from quantkit.benchmarking.held import GateOptions as GateOptions
    from quantkit.benchmarking.schema import BenchReport as BenchReport
    from quantkit.benchmarking.settings import BenchSettings as BenchSettings
    from quantkit.codecs.catalogue import CodecChoice as CodecChoice
    from quantkit.errors import AudioError as AudioError
    from quantkit.errors import BundleError as BundleError
    from quantkit.errors import CheckFailed as CheckFailed
    from quantkit.errors import CheckpointError as CheckpointError
    from quantkit.errors import CorpusError as CorpusError
    from quantkit.errors import FormatError as FormatError
    from quantkit.errors import GateFailed as GateFailed
    from quantkit.errors import InputError as InputError
    from quantkit.errors import MissingDependencyError as MissingDependencyError
    from quantkit.errors import ModelError as ModelError
    from quantkit.errors import NothingQuantized as NothingQuantized
    from quantkit.errors import OutputError as OutputError
    from quantkit.errors import ParityError as ParityError
    from quantkit.errors import QuantkitError as QuantkitError
    from quantkit.errors import VerificationError as VerificationError
    from quantkit.explanation.result import Explanation as Explanation
    from quantkit.finetuning.pipeline import FinetuneResult as FinetuneResult
    from quantkit.finetuning.settings import FinetuneSettings as FinetuneSettings
    from quantkit.fleets.engine import FleetLimits as FleetLimits
    from quantkit.fleets.result import FleetResult as FleetResult
    from quantkit.fleets.result import Tolerances as Tolerances
    from quantkit.graph.plan import LayerPlan as LayerPlan
    from quantkit.graph.plan import Plan as Plan
    from quantkit.personalization.pipeline import Personalized as Personalized
    from quantkit.personalization.pipeline import PersonalizeSettings as PersonalizeSettings
    from quantkit.quantization.choices.ptq import PtqSettings as PtqSettings
    from quantkit.quantization.choices.settings import LayerRule as LayerRule
    from quantkit.quantization.choices.settings import QuantizeSettings as QuantizeSettings
    from quantkit.quantization.inspection import Inspection as Inspection
    from quantkit.quantization.pipeline import QuantizeResult as QuantizeResult
    from quantkit.runtime.speech_model import Segment as Segment
    from quantkit.runtime.transcriber import Transcript as Transcript
    from quantkit.sensitivity.analyze import AnalysisSettings as AnalysisSettings
    from quantkit.sensitivity.divergence_settings import DivergenceSettings as DivergenceSettings
    from quantkit.sensitivity.table import Sensitivity as Sensitivity
    from quantkit.text.decoding import Decoding as Decoding
    from quantkit.text.words import Word as Word

# Where each public name lives; a test holds this against the imports above.
_HOMES = {
    "quantkit.api.added_sounds": ("AddedSounds",),
    "quantkit.api.analyze": ("AnalyzeResult", "analyze"),
    "quantkit.api.bench": ("bench",),
    "quantkit.api.explain": ("explain",),
    "quantkit.api.export": ("ExportResult", "export"),
    "quantkit.api.finetune": ("finetune",),
    "quantkit.api.fleet": ("FleetRequest", "fleet"),
    "quantkit.api.gate": ("BaselineUpdate", "gate", "update_baseline"),
    "quantkit.api.inspect": ("inspect",),
    "quantkit.api.load": ("Model", "load"),
    "quantkit.api.personalize": ("personalize",),
    "quantkit.api.plan": ("plan", "resize_plan"),
    "quantkit.api.plan_result": ("PlanResult",),
    "quantkit.api.plan_settings": ("PlanSettings",),
    "quantkit.api.pull": ("PullResult", "pull"),
    "quantkit.api.push": ("PushResult", "push"),
    "quantkit.api.quantize": ("quantize", "quantize_presets"),
    "quantkit.api.ship": ("ShipResult", "ship"),
    "quantkit.api.stream": ("SpeechStream", "stream"),
    "quantkit.api.train": ("TrainListener", "TrainResult", "train"),
    "quantkit.api.unpack": ("UnpackResult", "unpack"),
    "quantkit.api.verify": ("VerifyResult", "verify"),
    "quantkit.audio.corpora": ("open_corpus",),
    "quantkit.audio.selection": ("Selection",),
    "quantkit.audio.utterance": ("Corpus", "Utterance"),
    "quantkit.benchmarking.gate_result": ("GateResult",),
    "quantkit.benchmarking.held": ("GateOptions",),
    "quantkit.benchmarking.schema": ("BenchReport",),
    "quantkit.benchmarking.settings": ("BenchSettings",),
    "quantkit.codecs.catalogue": ("CodecChoice",),
    "quantkit.errors": (
        "AudioError",
        "BundleError",
        "CheckFailed",
        "CheckpointError",
        "CorpusError",
        "FormatError",
        "GateFailed",
        "InputError",
        "MissingDependencyError",
        "ModelError",
        "NothingQuantized",
        "OutputError",
        "ParityError",
        "QuantkitError",
        "VerificationError",
    ),
    "quantkit.explanation.result": ("Explanation",),
    "quantkit.finetuning.pipeline": ("FinetuneResult",),
    "quantkit.finetuning.settings": ("FinetuneSettings",),
    "quantkit.fleets.engine": ("FleetLimits",),
    "quantkit.fleets.result": ("FleetResult", "Tolerances"),
    "quantkit.graph.plan": ("LayerPlan", "Plan"),
    "quantkit.personalization.pipeline": ("PersonalizeSettings", "Personalized"),
    "quantkit.quantization.choices.ptq": ("PtqSettings",),
    "quantkit.quantization.choices.settings": ("LayerRule", "QuantizeSettings"),
    "quantkit.quantization.inspection": ("Inspection",),
    "quantkit.quantization.pipeline": ("QuantizeResult",),
    "quantkit.runtime.speech_model": ("Segment",),
    "quantkit.runtime.transcriber": ("Transcript",),
    "quantkit.sensitivity.analyze": ("AnalysisSettings",),
    "quantkit.sensitivity.divergence_settings": ("DivergenceSettings",),
    "quantkit.sensitivity.table": ("Sensitivity",),
    "quantkit.text.decoding": ("Decoding",),
    "quantkit.text.words": ("Word",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    # The next time, it is found without asking here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    private = {"TYPE_CHECKING", "Any", "annotations", "importlib", "switch_off_telemetry"}
    return sorted({*globals(), *_HOME_OF} - private)
