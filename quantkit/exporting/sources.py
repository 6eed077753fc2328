"""What can be exported, and by which of the modules here.

A source is a checkpoint folder or file of Wav2Letter, a folder of ``transformers``, the name of one
on the Hugging Face hub, a Whisper in the format of CTranslate2, or somebody's ``.onnx``. A further
kind is one more exporter in :func:`_exporter_of`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from quantkit.errors import InputError, MissingDependencyError
from quantkit.exporting.parity import ParityReport
from quantkit.graph.artifact import read_info
from quantkit.models.hub_names import is_hub_name
from quantkit.models.pretrained_files import CONFIG_NAME, optional_json_object

#: See :data:`quantkit.exporting.tracing.OPSET`.
DEFAULT_OPSET = 18


@dataclass(frozen=True)
class ExportOptions:
    """What one may say about an export; each kind of source takes what concerns it.

    Args:
        with_frontend: put the log-mel front end in front of a model that takes features.
        opset: ONNX operator set, 18 to 23; none stands for 18.
        name: the model's name in the metadata; by default the source's.
        labels: a file or folder that says what the outputs of an ``.onnx`` stand for.
        task: of an ``.onnx``; one of :func:`~quantkit.tasks.catalogue.adoptable`.
        sample_rate: of the audio that an ``.onnx`` takes, in hertz; none stands for 16,000.
        blank: index of the CTC blank of an ``.onnx``, where its labels do not show it.
        normalize: whether an ``.onnx`` wants clips of mean 0 and variance 1.
        frontend: what makes the features of an ``.onnx``; one of
            :data:`~quantkit.audio.frontends.FRONTENDS`.
        output_name: of an ``.onnx``: name of the output that holds the posteriors.
    """

    with_frontend: bool = False
    opset: int | None = None
    name: str = ""
    labels: Path | None = None
    task: str = ""
    sample_rate: int | None = None
    blank: int | None = None
    normalize: bool = False
    frontend: str = ""
    output_name: str = ""


# Folder or file, destination, options.
_Exporter = Callable[[Path, Path, ExportOptions], ParityReport]


def export_source(source: str, destination: Path, options: ExportOptions) -> ParityReport:
    """Write ``source`` as an artifact that computes what it computes.

    Args:
        source: a path, or ``owner/name`` of a model on the hub.

    Raises:
        InputError: the source is missing, damaged or of an unknown kind, or options do not fit it.
        ParityError: the artifact differs from its source; nothing is written.
        MissingDependencyError: PyTorch is needed and not installed.
        OutputError: ``destination`` cannot be written.
    """
    if source.endswith(".onnx"):
        return _export_onnx(Path(source), destination, options)
    _refuse(options, "an .onnx", labels="--labels", task="--task", blank="--blank")
    _refuse(options, "an .onnx", sample_rate="--sample-rate", normalize="--normalize")
    _refuse(options, "an .onnx", frontend="--frontend", output_name="--output-name")
    try:
        folder = _folder_of(source)
        if not Path(source).exists():
            # The folder in the cache is called after a commit.
            options = replace(options, name=options.name or source.rpartition("/")[2])
        return _exporter_of(folder)(folder, destination, options)
    except MissingDependencyError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"export needs {error.name}, which is not installed: pip install 'quantkit[export]'"
        ) from error


def _folder_of(source: str) -> Path:
    path = Path(source)
    if path.exists():
        return path
    if not is_hub_name(source):
        raise InputError(f"cannot read {source}: no such file or folder")
    # huggingface_hub comes with transformers, and only a name needs it.
    from quantkit.models.hub import downloaded

    return downloaded(source)


def _exporter_of(folder: Path) -> _Exporter:
    """The exporter for what ``folder`` holds; Wav2Letter's for what is no folder."""
    config = optional_json_object(folder / CONFIG_NAME)
    if (folder / "model.bin").is_file() or config.get("model_type") == "whisper":
        return _export_whisper
    if "schema" not in config and ("architectures" in config or "model_type" in config):
        return _export_pretrained
    return _export_wav2letter


def _export_wav2letter(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.to_onnx import export_checkpoint

    return export_checkpoint(
        source,
        destination,
        with_frontend=options.with_frontend,
        opset=options.opset or DEFAULT_OPSET,
        name=options.name,
    )


def _export_pretrained(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.pretrained import export_pretrained

    _refuse(options, "a model that takes features", with_frontend="--with-frontend")
    return export_pretrained(
        source, destination, opset=options.opset or DEFAULT_OPSET, name=options.name
    )


def _export_whisper(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.whisper import export_whisper

    _refuse(options, "a model of the log-mel front end", with_frontend="--with-frontend")
    return export_whisper(
        source, destination, opset=options.opset or DEFAULT_OPSET, name=options.name
    )


def _export_onnx(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.adopt import adopt

    _refuse(options, "a model in PyTorch", opset="--opset")
    if not options.frontend:
        _refuse(options, "a model in PyTorch, or with --frontend", with_frontend="--with-frontend")
    if options.labels is None or not options.task:
        # One that is cut off, or no model at all, is refused for that.
        read_info(source)
        raise InputError(
            f"{source} does not say what its outputs stand for: give --labels and --task"
        )
    return adopt(
        source,
        destination,
        options.labels,
        options.task,
        sample_rate=options.sample_rate,
        blank=options.blank,
        normalize=options.normalize,
        name=options.name,
        frontend=options.frontend,
        output_name=options.output_name,
        with_frontend=options.with_frontend,
    )


def _refuse(options: ExportOptions, meant_for: str, **names: str) -> None:
    unsaid = ExportOptions()
    for field, name in names.items():
        if getattr(options, field) != getattr(unsaid, field):
            raise InputError(f"{name} is for {meant_for}")
