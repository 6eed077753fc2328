"""What can be exported, and by which of the modules here.

A source is a path, or the name of a model on the Hugging Face hub. What a path holds is told by
:data:`KINDS`; a further kind is one more row there. What is recognised, but cannot be exported, is
a row of :data:`quantkit.exporting.other_formats.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError, MissingDependencyError
from quantkit.exporting.folders.registry import layout_of, refuse_part
from quantkit.exporting.other_formats import other_format
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.torch_threads import one_thread
from quantkit.graph.artifact import read_info
from quantkit.models.hub_cache import cached_name, snapshot_in
from quantkit.models.hub_names import is_hub_name
from quantkit.models.pickled_names import is_openai
from quantkit.models.pretrained_files import (
    CONFIG_NAME,
    folder_of_weights,
    is_adapter,
    is_ctranslate2,
    optional_json_object,
)

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
        language: of a model that has an adapter for each of several; empty: its own choice.
        adapter: folder of a LoRA adapter that is merged into the source.
        window: of a Whisper: seconds of silence behind a clip that the artifact computes; see
            :class:`~quantkit.text.decoding.Decoding`.
        chunk: seconds of a chunk that the artifact hears at a time; None: whole clips.
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
    language: str = ""
    adapter: Path | None = None
    window: float | None = None
    chunk: float | None = None


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
    if source.endswith(".ort") and Path(source).is_file():
        return _export_ort(Path(source), destination, options)
    _refuse(options, "an .onnx", labels="--labels", task="--task", blank="--blank")
    _refuse(options, "an .onnx", sample_rate="--sample-rate", normalize="--normalize")
    _refuse(options, "an .onnx", frontend="--frontend", output_name="--output-name")
    try:
        folder = _folder_of(source, options.language)
        # The folder in the cache is called after a commit.
        name = cached_name(folder) if Path(source).exists() else source.rpartition("/")[2]
        options = replace(options, name=options.name or name)
        exporter = _exporter_of(folder)
        with one_thread():
            return exporter(folder, destination, options)
    except MissingDependencyError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"export needs {error.name}, which is not installed: pip install 'quantkit[export]'"
        ) from error


def _folder_of(source: str, language: str) -> Path:
    path = Path(source)
    if path.exists():
        return folder_of_weights(snapshot_in(path))
    if not is_hub_name(source):
        raise InputError(f"cannot read {source}: no such file or folder")
    # huggingface_hub comes with transformers, and only a name needs it.
    from quantkit.models.hub import downloaded

    return downloaded(source, language)


def _exporter_of(path: Path) -> _Exporter:
    """The exporter for what ``path`` holds; Wav2Letter's for what is no other kind's.

    Raises:
        InputError: it is of a format that is not exported.
    """
    for kind in KINDS:
        if kind.matches(path):
            return kind.export
    if other := other_format(path):
        raise InputError(f"{path} is {other}")
    return _export_wav2letter


def _architecture(path: Path) -> str:
    """What ``config.json`` of a folder of ``transformers`` calls the model; empty for another."""
    config = optional_json_object(path / CONFIG_NAME)
    if "schema" in config:
        return ""
    named = config.get("model_type") or config.get("architectures")
    return str(named) if named else ""


def _is_whisper(path: Path) -> bool:
    return _architecture(path) == "whisper" and not other_format(path)


def _is_transducer(path: Path) -> bool:
    return _architecture(path) in ("parakeet_rnnt", "parakeet_tdt") and not other_format(path)


def _is_streaming_transducer(path: Path) -> bool:
    return _architecture(path) == "nemotron_asr_streaming" and not other_format(path)


def _is_moonshine(path: Path) -> bool:
    return _architecture(path) in ("moonshine", "moonshine_streaming") and not other_format(path)


def _is_canary(path: Path) -> bool:
    return _architecture(path) == "canary" and not other_format(path)


def _is_pretrained(path: Path) -> bool:
    return bool(_architecture(path)) and not other_format(path)


def _export_wav2letter(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.to_onnx import export_checkpoint

    _refuse(options, "a model with an adapter for each language", language="--language")
    _refuse(options, "a Whisper", window="--window")
    if options.chunk is not None:
        return _export_streaming(source, destination, options)
    return export_checkpoint(
        source,
        destination,
        with_frontend=options.with_frontend,
        opset=options.opset or DEFAULT_OPSET,
        name=options.name,
    )


def _export_streaming(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.streaming import export_streaming_checkpoint

    assert options.chunk is not None
    if options.with_frontend:
        raise InputError(
            "--streaming and --with-frontend exclude each other: a stream normalises its features "
            "by what it has heard so far, which is no part of the graph"
        )
    return export_streaming_checkpoint(
        source,
        destination,
        options.chunk,
        opset=options.opset or DEFAULT_OPSET,
        name=options.name,
    )


def _export_pretrained(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.pretrained import export_pretrained

    _refuse(options, "a Whisper", window="--window")
    _refuse_streaming(options, f"{source} attends to the whole clip in every layer")
    return export_pretrained(
        source,
        destination,
        with_frontend=options.with_frontend,
        opset=options.opset or DEFAULT_OPSET,
        name=options.name,
        language=options.language,
        adapter=options.adapter,
    )


def _export_whisper(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.whisper import export_whisper

    _refuse(options, "a model of the log-mel front end", with_frontend="--with-frontend")
    _refuse(options, "a model with an adapter for each language", language="--language")
    _refuse_streaming(options, f"{source} is a Whisper, whose encoder attends to the whole clip")
    return export_whisper(
        source,
        destination,
        opset=options.opset or DEFAULT_OPSET,
        name=options.name,
        adapter=options.adapter,
        window=options.window,
    )


def _export_transducer(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.transducer import export_transducer

    return _export_parts(export_transducer, source, destination, options)


def _export_streaming_transducer(
    source: Path, destination: Path, options: ExportOptions
) -> ParityReport:
    from quantkit.exporting.streaming_transducer import export_streaming_transducer

    export = partial(export_streaming_transducer, seconds=options.chunk)
    return _export_parts(export, source, destination, replace(options, chunk=None))


def _export_moonshine(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.moonshine import FAMILY

    return _export_parts(FAMILY.export, source, destination, options)


def _export_canary(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.canary import FAMILY

    return _export_parts(FAMILY.export, source, destination, options)


def _export_parts(
    export: Callable[..., ParityReport], source: Path, destination: Path, options: ExportOptions
) -> ParityReport:
    """A model of several graphs, with the options that such models have."""
    _refuse_streaming(options, f"{source} attends to the whole clip")
    _refuse(options, "a model of one graph", with_frontend="--with-frontend")
    _refuse(options, "a model with an adapter for each language", language="--language")
    _refuse(options, "a Whisper", window="--window")
    return export(
        source,
        destination,
        opset=options.opset or DEFAULT_OPSET,
        name=options.name,
        adapter=options.adapter,
    )


def _export_adapter(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.models.lora import base_of

    base = base_of(source)
    export = next((kind.export for kind in KINDS if kind.matches(base)), _export_adapter)
    if export is _export_adapter:
        raise InputError(
            f"{source} is an adapter for {base}, which is no model of transformers with weights"
        )
    options = replace(options, name=options.name or source.resolve().name, adapter=source)
    return export(base, destination, options)


def _export_folder(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    layout = layout_of(source)
    assert layout is not None
    _refuse(options, "a model of the log-mel front end", with_frontend="--with-frontend")
    _refuse(options, "a model in PyTorch", opset="--opset", language="--language")
    _refuse(options, "a Whisper", window="--window")
    if options.chunk is not None:
        raise InputError(
            f"{source} is {layout.name}, whose files say themselves whether they hear in chunks: "
            "leave out --streaming"
        )
    from quantkit.exporting.folders.ort_files import with_onnx_files

    with with_onnx_files(source, layout) as folder:
        return layout.export(folder, destination, options.name or source.resolve().name)


def _is_published(path: Path) -> bool:
    return layout_of(path) is not None


def _export_onnx(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    from quantkit.exporting.adopt import adopt

    _refuse(options, "a model in PyTorch", opset="--opset", language="--language")
    _refuse(options, "a Whisper in PyTorch", window="--window")
    _refuse_streaming(options, f"{source} is a finished graph, in which there are no states")
    if not options.frontend:
        _refuse(options, "a model in PyTorch, or with --frontend", with_frontend="--with-frontend")
    if options.labels is None or not options.task:
        # One that is cut off, or no model at all, is refused for that.
        read_info(source)
        refuse_part(source)
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


def _export_ort(source: Path, destination: Path, options: ExportOptions) -> ParityReport:
    """One graph in ONNX Runtime's own format."""
    from quantkit.conversion.ort_format import write_as_onnx

    refuse_part(source)
    if options.labels is None or not options.task:
        raise InputError(
            f"{source} is in ONNX Runtime's own format, and does not say what its outputs stand "
            "for: give --labels and --task"
        )
    with TemporaryFolder("ort") as folder:
        path = folder / f"{source.stem}.onnx"
        write_as_onnx(source, path)
        return _export_onnx(path, destination, replace(options, name=options.name or source.stem))


@dataclass(frozen=True)
class Kind:
    """What a path may hold.

    Args:
        name: in documents.
        matches: whether an existing path holds it; asked in the order of :data:`KINDS`.
        export: writes it as an artifact.
    """

    name: str
    matches: Callable[[Path], bool]
    export: _Exporter


KINDS = (
    Kind("LoRA adapter of PEFT", is_adapter, _export_adapter),
    Kind("folder of .onnx files", _is_published, _export_folder),
    Kind("Whisper of CTranslate2", is_ctranslate2, _export_whisper),
    Kind("Whisper of OpenAI", is_openai, _export_whisper),
    Kind("Whisper of transformers", _is_whisper, _export_whisper),
    Kind("transducer of transformers", _is_transducer, _export_transducer),
    Kind(
        "streaming transducer of transformers",
        _is_streaming_transducer,
        _export_streaming_transducer,
    ),
    Kind("Moonshine of transformers", _is_moonshine, _export_moonshine),
    Kind("Canary of transformers", _is_canary, _export_canary),
    Kind("wav2vec 2.0 and relatives", _is_pretrained, _export_pretrained),
)


def _refuse_streaming(options: ExportOptions, reason: str) -> None:
    if options.chunk is not None:
        raise InputError(
            f"{reason}, so it cannot be heard in chunks: --streaming is for Wav2Letter, which is "
            "made of convolutions, and for Nemotron streaming"
        )


def _refuse(options: ExportOptions, meant_for: str, **names: str) -> None:
    unsaid = ExportOptions()
    for field, name in names.items():
        if getattr(options, field) != getattr(unsaid, field):
            raise InputError(f"{name} is for {meant_for}")
