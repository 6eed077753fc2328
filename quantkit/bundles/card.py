"""``CARD.md``: inputs, outputs, recipe, figures and limits of a bundle's model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantkit.audio.frontends import AnyFrontend
from quantkit.benchmarking.schema import BenchReport, ModelResult
from quantkit.bundles.example_files import is_in_cpp
from quantkit.bundles.example_runs import ExampleRun, ExampleRuns
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.provenance import provenance_of
from quantkit.runtime.hosts import Hosts
from quantkit.tasks.names import (
    CANARY,
    CLASSIFICATION,
    MOONSHINE,
    STREAMING_CTC,
    STREAMING_TRANSDUCER,
    TRANSDUCER,
    WHISPER,
)
from quantkit.text.labels import Labels
from quantkit.version import __version__


@dataclass(frozen=True)
class CardFacts:
    """The content of a card.

    Args:
        info: of the shipped model; ``info.labels`` and ``info.frontend`` are ``labels`` and
            ``frontend``.
        size_bytes: of the shipped model with its external files.
        opset: ONNX operator set of the graph.
        foreign_domains: operator sets in it beside ONNX's own.
        frontend_added: whether the front end was fused into the model when it was shipped.
        runtimes: what :func:`quantkit.bundles.trial.run_once` returned.
        measured: the bench run and this model's result in it, if there was one.
        about: the recogniser's own card, Markdown; empty if there is none.
        hosts: on which processors the model's integer sums are exact.
        files: names of the graphs.
        examples: what came of the examples; None: nothing is said of them.
        kind: as ``decoding.json`` has it; empty for CTC and ASG.
    """

    name: str
    info: ArtifactInfo
    labels: Labels
    frontend: AnyFrontend
    size_bytes: int
    opset: int
    foreign_domains: tuple[str, ...]
    frontend_added: bool
    runtimes: tuple[Mapping[str, Any], ...]
    measured: tuple[BenchReport, ModelResult] | None
    about: str
    hosts: Hosts
    files: tuple[str, ...] = ()
    kind: str = ""
    examples: ExampleRuns | None = None


def write_card(facts: CardFacts) -> str:
    """The card in Markdown."""
    sections = [
        f"# {one_line(facts.name)}",
        _use(facts),
        *([] if facts.examples is None else [_examples(facts.examples)]),
        _figures(facts),
        _recipe(facts),
        _limits(facts),
    ]
    if facts.about:
        # Headings of the inner card are one level below ours.
        inner = (f"#{line}" if line.startswith("#") else line for line in facts.about.splitlines())
        sections.append("## About the recogniser\n\n" + "\n".join(inner).strip())
    return "\n\n".join(sections) + "\n"


def one_line(text: str) -> str:
    """Text that stays within its line, and within its cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


_OTHERS = "`example.mjs` is the same for Node, and `web/index.html` a page for browsers."
_WITH_CPP = f"`example.cpp` is the same for C++, {_OTHERS.replace(' is the same', '')}"

_RUNS = """\
It runs in the stock ONNX Runtime on a CPU; `example.py` shows how: `python example.py clip.wav`."""

# What several graphs are, and what goes from one to the next.
_SEVERAL = {
    TRANSDUCER: """\
A transducer: the encoder makes `encoded` (batch, frames, width) of `waveform` (batch, samples), -1
to 1, and `lengths` (batch,). For each of its frames, predictor and joiner are asked for
`log_probs` of the next label (behind the labels stand those of durations, if `durations` in
`decoding.json` is not 0) until the blank is the likeliest. `states` say which outputs of the
predictor are its inputs after a label.""",
    STREAMING_CTC: """\
A CTC model that hears in chunks: of `features` (1, chunk, bands), the spectrogram, of `lengths`
(1,), how many of them the clip has, and of its states it makes `log_probs` (1, rows, labels) and
the states for the next chunk. `decoding.json` says how long chunks are, how they follow one
another, and the names and first values of the states.""",
    STREAMING_TRANSDUCER: """\
A transducer that hears in chunks: of `features` (1, chunk, bands), the spectrogram, and of its
states the encoder makes `encoded` (1, frames, width) and the states for the next chunk. For each of
its frames, predictor and joiner are asked for `log_probs` of the next label until the blank is the
likeliest. `decoding.json` says how chunks follow one another, and has the names and first values of
all states.""",
    MOONSHINE: """\
An encoder of `waveform` (1, samples), -1 to 1, and a decoder that writes a text token by token: of
the new `tokens`, their `positions`, what the encoder gives (`cross.*`) and what it gave itself for
the tokens before (`present.x` is `past.x` of the next run; empty at first), it gives
`log_probs`.""",
    CANARY: """\
An encoder of `waveform` (1, samples), -1 to 1, and a decoder that writes a text token by token: of
the new `tokens`, their `positions`, what the encoder gives (`cross.*`) and what it gave itself for
the tokens before (`present.x` is `past.x` of the next run; empty at first), it gives `log_probs`.
`decoding.json` has the prompt, and where in it the languages stand that are spoken and to be
written.""",
    WHISPER: """\
An encoder of `features` (1, mel bands, frames), the spectrogram of 30 seconds, and a decoder that
writes a text token by token: of the new `tokens`, their `positions`, what the encoder gives
(`cross.*`) and what it gave itself for the tokens before (`present.x` is `past.x` of the next run;
empty at first), it gives `log_probs`. `decoding.json` has the prompt and what is never written.""",
}


def _use(facts: CardFacts) -> str:
    if facts.kind == CLASSIFICATION:
        return _use_of_classifier(facts)
    if facts.kind:
        return _use_of_several(facts)
    labels = facts.labels
    shown = " ".join(_visible(token) for token in labels.tokens[:60])
    if labels.asg is None:
        kind, meaning = "CTC", f"`{_visible(labels.tokens[labels.blank])}` being the CTC blank"
    else:
        kind = "ASG"
        meaning = (
            "without a blank; the last ones repeat the letter before them.\nThe text is the best "
            "path through all frames, with the transitions between labels in\n`labels.json`"
        )
    return f"""\
A speech recogniser with {kind} output in one ONNX file of {facts.size_bytes / 1e6:.2f} MB.
{_RUNS}
{_WITH_CPP}

{_inputs(facts)}
| output | `log_probs` | float32 | (batch, frames, {len(facts.labels)}) | natural logarithms |
| output | `output_lengths` | int64 | (batch,) | frames of each clip that are valid |

Labels, in output order, {meaning}:
`{shown}`.
`labels.json` holds them for programs, `frontend.json` the settings of the log-mel front end, which
is part of the graph."""


def _inputs(facts: CardFacts) -> str:
    """The head of the table of inputs and outputs."""
    rate = facts.frontend.sample_rate
    return f"""\
| | name | type | shape | |
|---|---|---|---|---|
| input | `waveform` | float32 | (batch, samples) | -1 to 1 at {rate} Hz, zeros after its end |
| input | `lengths` | int64 | (batch,) | samples of each clip without padding |"""


def _use_of_classifier(facts: CardFacts) -> str:
    shown = ", ".join(f"`{_visible(token)}`" for token in facts.labels.tokens[:60])
    return f"""\
A classifier of clips, such as a keyword spotter, in one ONNX file, `model.onnx`, of \
{facts.size_bytes / 1e6:.2f} MB.
{_RUNS}
{_WITH_CPP}

{_inputs(facts)}
| output | `log_probs` | float32 | (batch, {len(facts.labels)}) | natural logarithms |

Classes, in output order: {shown}.
`labels.json` holds them for programs, `frontend.json` the settings of the front end, which is part
of the graph."""


def _use_of_several(facts: CardFacts) -> str:
    files = ", ".join(f"`{name}`" for name in facts.files)
    shown = " ".join(_visible(token) for token in facts.labels.tokens[:60])
    return f"""\
A speech recogniser in {len(facts.files)} ONNX files of {facts.size_bytes / 1e6:.2f} MB: {files}.
They run in the stock ONNX Runtime on a CPU; `example.py` shows how: `python example.py clip.wav`.
{_WITH_CPP if is_in_cpp(facts.kind) else _OTHERS}

{_SEVERAL[facts.kind]}

Audio has {facts.frontend.sample_rate} Hz. The first of {len(facts.labels)} labels: `{shown}`.
`labels.json` holds all of them for programs, `frontend.json` the settings of the front end, and
`decoding.json` how text follows from what the graphs give."""


def _examples(examples: ExampleRuns) -> str:
    measured = bool(examples.clip)
    clip = f"`{one_line(examples.clip)}`" if measured else "noise"
    lines = [
        "## Examples",
        "",
        f"Run when this bundle was made, on {clip} of {examples.seconds:.1f} seconds.",
        "",
        f"| | run with | text |{' start to text | peak memory |' if measured else ''}",
        f"|---|---|---|{'---|---|' if measured else ''}",
        *(_example(run, measured) for run in examples.runs),
    ]
    if measured:
        lines += ["", f"Text of `example.py`: {one_line(examples.text) or '(none)'}"]
        lines += ["", "Times and memory are those of the whole program on the first try."]
    return "\n".join(lines)


def _example(run: ExampleRun, measured: bool) -> str:
    if run.why_not:
        return f"| `{run.file}` | not run: {run.why_not} | |{' | |' if measured else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in run.runtime.items())
    row = f"| `{run.file}` | {versions} | {'the same' if run.same else 'another'} |"
    if measured:
        memory = f"{run.peak_bytes / 1e6:.0f} MB" if run.peak_bytes else "unknown"
        row += f" {run.seconds:.2f} s | {memory} |"
    return row


def _visible(token: str) -> str:
    return token.replace(" ", "␣").replace("`", "ˋ") or "∅"


def _figures(facts: CardFacts) -> str:
    if facts.measured is None:
        return "## Figures\n\nNo bench run was given when this bundle was made."
    report, model = facts.measured
    rows = [
        ("size of the measured file", f"{model.size_bytes / 1e6:.2f} MB"),
        ("edits per utterance", _with_interval(model.levenshtein, model.levenshtein_ci, ".3f")),
        ("character (label) error rate", _with_interval(model.cer, model.cer_ci, ".2%")),
        ("word error rate", _with_interval(model.wer, model.wer_ci, ".2%")),
        (f"speed against {one_line(report.models[0].name)}", f"{model.speedup:.2f}×"),
        ("real-time factor, one clip at a time", f"{model.rtf:.4f}"),
        ("time to load", f"{model.load_s:.2f} s"),
        ("peak memory of a process that runs it", f"{model.peak_rss_bytes / 1e6:.0f} MB"),
    ]
    lines = [f"| {title} | {value} |" for title, value in rows if value]
    corpus, host = report.corpus, report.host
    added = " Figures are of the model without the added front end." if facts.frontend_added else ""
    return "\n".join(
        [
            "## Figures",
            "",
            "| | |",
            "|---|---|",
            *lines,
            "",
            f"Measured on {corpus.utterances} utterances ({corpus.seconds / 60:.1f} minutes) of "
            f"`{one_line(corpus.name)}`, decoder: {one_line(report.decoder)}, with ONNX Runtime "
            f"{host.onnxruntime} on {one_line(host.cpu)} "
            f"({'with' if host.vnni else 'without'} VNNI). Intervals are 95 % bootstrap "
            f"intervals over utterances.{added}",
        ]
    )


def _with_interval(value: float | None, interval: tuple[float, float] | None, style: str) -> str:
    if value is None:
        return ""
    if interval is None:
        return format(value, style)
    return f"{value:{style}} [{interval[0]:{style}}, {interval[1]:{style}}]"


def _recipe(facts: CardFacts) -> str:
    info = facts.info
    lines = ["## Recipe", ""]
    lines.append(f"- Made by quantkit {info.version or 'unknown'}, shipped by {__version__}.")
    operators = "standard operators only"
    if facts.foreign_domains:
        operators = f"and operators of {', '.join(facts.foreign_domains)}"
    lines.append(f"- Graph: ONNX opset {facts.opset}, {operators}.")
    if info.model_sha256:
        lines.append(f"- SHA-256 of what it was made from: `{info.model_sha256}`.")
    if (made := provenance_of(info)) is not None and made.clips:
        lines.append(f"- Heard while it was made: {made.audio_in_words}.")
    if facts.frontend_added:
        lines.append("- `quantkit ship` added the front end to the model.")
    layers = _plan_layers(info)
    if layers:
        method = (info.plan or {}).get("method")
        lines.append(f"- Plan ({one_line(str(method))}):" if method else "- Plan:")
        kinds = Counter(
            (layer.get("codec"), layer.get("bits"), layer.get("compute"), layer.get("range"))
            for layer in layers
        )
        for (codec, bits, compute, chosen), count in kinds.items():
            lines.append(
                f"  - {count} layer{'s' if count > 1 else ''}: stored as {codec} ({bits} bits), "
                f"computed in {_COMPUTE.get(str(compute), compute)}, activation range: {chosen}"
            )
    for run in facts.runtimes:
        lines.append(
            f"- Ran in ONNX Runtime {run['onnxruntime']} with NumPy {run['numpy']}, {run['os']} "
            f"{run['machine']}."
        )
    return "\n".join(lines)


_COMPUTE = {
    "float32": "float32",
    "static": "int8 with calibrated activation ranges",
    "dynamic": "int8 with activation ranges computed at run time",
    "matmul-nbits": "ONNX Runtime's MatMulNBits, activations in float32",
}


def _plan_layers(info: ArtifactInfo) -> list[Mapping[str, Any]]:
    layers = (info.plan or {}).get("layers")
    return [x for x in layers if isinstance(x, dict)] if isinstance(layers, list) else []


def _range_per_batch(info: ArtifactInfo) -> bool:
    """Whether a layer computes its range at run time over all clips of a batch."""
    return any(
        layer.get("compute") == "dynamic" and "per-clip" not in str(layer.get("range"))
        for layer in _plan_layers(info)
    )


def _limits_of(facts: CardFacts) -> list[str]:
    """Those of its kind."""
    if facts.kind == CLASSIFICATION:
        return [
            f"- Each clip gets one of the {len(facts.labels)} classes above, also one that fits "
            "none of them; a clip of more than 40 seconds is heard in pieces, and gets the class "
            "of their mean."
        ]
    if facts.kind in (STREAMING_CTC, STREAMING_TRANSDUCER):
        return ["- The example decodes greedily, and knows no times of words."]
    if facts.kind:
        return [
            "- The example decodes greedily, and cuts long clips without regard to words; "
            "it knows neither times nor what was said in the part before."
        ]
    return [
        f"- It writes only the {len(facts.labels) - 1} labels above: no case, "
        "punctuation or digits unless they are among them.",
        "- Mean and variance are taken over the whole clip, so it is not a streaming model.",
    ]


def _limits(facts: CardFacts) -> str:
    frontend = facts.frontend
    lines = [
        "## Limits",
        "",
        f"- Audio must be mono at {frontend.sample_rate} Hz; nothing in the graph resamples. A "
        f"clip shorter than {1000 * frontend.window / frontend.sample_rate:.0f} ms gives no text.",
        *_limits_of(facts),
        "- Figures apply to speech like that of the bench corpus; expect worse results with "
        "noise, distant microphones and other accents.",
    ]
    if _range_per_batch(facts.info):
        lines.append(
            "- Some activation ranges are computed at run time over the whole batch: the text of a "
            "clip can depend on the clips that share its batch. One clip per run avoids that."
        )
    if facts.hosts.layers:
        lines.append(
            "- 8-bit layers are fast on CPUs with VNNI (or ARM dot product) instructions, and "
            f"slower on x86 CPUs without them. Processors: {facts.hosts.summary()}."
        )
    return "\n".join(lines)
