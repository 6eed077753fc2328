"""Layer by layer beside OpenVINO: which of our layers take longer than those of the best other way.

Run it from the repository, with the extra ``peers``: ``python -m benchmarks.layer_profile``. Each
family is made in float32, quantized here, by NNCF and, where it has matrix products, by ONNX
Runtime's ``quantize_dynamic``, and run in turn on one and two threads; then each profiles itself.
It renews its section of RESULTS.md. Whisper takes part where its weights can be fetched
(:mod:`benchmarks.whisper_weights`), Moonshine with ``--moonshine FOLDER``
(``onnx-community/moonshine-base-ONNX``).
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, update_wrapper
from pathlib import Path

import click
import numpy as np
import onnx
from onnxruntime.quantization import quantize_dynamic
from transformers import Wav2Vec2Config

import quantkit
from benchmarks import openvino_peer, subsampling, zipformer
from benchmarks.cells import ROOT
from benchmarks.full_width import FRAMES, write_float
from benchmarks.openvino_peer import Feed, Peer
from benchmarks.results import host, replace_section, table
from benchmarks.wav2vec2_base import calibration_clips, export_as_users_do, length_of
from benchmarks.whisper_weights import fetched
from quantkit.graph.artifact import open_model
from quantkit.graph.layers import find_layers
from quantkit.models.wav2letter import Wav2LetterConfig
from quantkit.quantization import quantize_model
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.node_times import node_milliseconds
from quantkit.runtime.optimised import name_before_fusion, optimised_graph
from quantkit.runtime.parallel import cores
from quantkit.runtime.session import create_session

#: Rows of a table: what takes less is left out of it. Of more layers, those of one kind stand
#: together.
_ROWS = 12
#: Threads inside an operator.
_THREADS = (1, 2)
#: Of each layer the fastest run counts, as in :func:`node_milliseconds`.
_PROFILED_RUNS = 5


@dataclass(frozen=True)
class Family:
    """A model in float32, in integers by quantkit, and by OpenVINO with NNCF.

    Args:
        feed: of one run.
        described: what is run, in words.
        dynamic: the same by ``quantize_dynamic``, products only; None: it has none.
    """

    name: str
    described: str
    source: Path
    quantized: Path
    peer: Path
    feed: Feed
    dynamic: Path | None = None


@dataclass(frozen=True)
class Profile:
    """Milliseconds on some threads: of the processor for one of them, else of the clock.

    Args:
        whole: of float32, quantkit, OpenVINO and, where there is one, the dynamic form, medians of
            runs in turn.
        layers: by layer, numbers in names replaced by ``#``: how many, and the times of the same
            but float32.
        between: what is no layer, by operator of ONNX Runtime.
        others_between: all of OpenVINO, and of the dynamic form, that is no layer.
    """

    whole: tuple[float, ...]
    layers: Mapping[str, tuple[int, tuple[float, ...]]]
    between: Mapping[str, float]
    others_between: tuple[float, ...]


def wav2letter(folder: Path) -> Family:
    """The full-width Wav2Letter with random weights."""
    source, clips = write_float(folder, Wav2LetterConfig())
    quantized = quantize_model(source, folder / "int8.onnx", "static-int8", clips).path
    feeds = [feed for _, feed in clips]
    peer = openvino_peer.quantize(source, folder / "nncf.xml", feeds, transformer=False)
    described = f"{FRAMES:,} frames, preset static-int8"
    return Family("Wav2Letter, full width", described, source, quantized, peer, feeds[0])


def shipped(folder: Path) -> Family:
    """The shipped Wav2Letter."""
    source = ROOT / "build" / "wav2letter-en" / "float32.onnx"
    quantized = folder / "int8.onnx"
    quantkit.quantize(source, quantized, "static-int8", ROOT / "calibration_data")
    random = np.random.default_rng(0)
    feeds = [
        {
            "features": random.standard_normal((1, frames, 40), np.float32),
            "lengths": np.array([frames]),
        }
        for frames in (FRAMES, 733, 301)
    ]
    peer = openvino_peer.quantize(source, folder / "nncf.xml", feeds, transformer=False)
    described = f"{FRAMES:,} frames, preset static-int8"
    return Family("Wav2Letter, shipped", described, source, quantized, peer, feeds[0])


def spotter(folder: Path) -> Family:
    """The shipped keyword spotter."""
    source, quantized = folder / "float32.onnx", folder / "int8.onnx"
    quantkit.export(ROOT / "models" / "keywords-en", source)
    quantkit.quantize(source, quantized, "hybrid", ROOT / "calibration_data")
    random = np.random.default_rng(0)
    feeds = [
        {"waveform": random.standard_normal((1, 16_000), np.float32), "lengths": np.array([16_000])}
    ]
    peer = openvino_peer.quantize(source, folder / "nncf.xml", feeds, transformer=False)
    return Family("Keyword spotter", "1 s, preset hybrid", source, quantized, peer, feeds[0])


def wav2vec2(folder: Path) -> Family:
    """A Wav2Vec2-Base with random weights."""
    source = export_as_users_do(folder, Wav2Vec2Config())
    feeds: list[Feed] = [
        {"waveform": clip, "lengths": length_of(clip)} for clip in calibration_clips()
    ]
    clips = [(f"clip {index}", feed) for index, feed in enumerate(feeds)]
    quantized = quantize_model(source, folder / "int8.onnx", "hybrid", clips).path
    peer = openvino_peer.quantize(source, folder / "nncf.xml", feeds, transformer=True)
    return Family("Wav2Vec2-Base", "5 s, preset hybrid", source, quantized, peer, feeds[0])


def whisper(folder: Path) -> Family:
    """The encoder of Whisper tiny.en with its real weights."""
    source, quantized = folder / "float32.onnx", folder / "int8.onnx"
    quantkit.export(fetched("tiny.en"), source)
    quantkit.quantize(source, quantized, "hybrid", ROOT / "calibration_data")
    for path in (source, quantized):
        _encoder_alone(path)
    random = np.random.default_rng(0)
    feeds = [{"features": random.standard_normal((1, 80, 3_000), np.float32)}]
    peer = openvino_peer.quantize(source, folder / "nncf.xml", feeds, transformer=True)
    return Family("Whisper tiny.en, encoder", "30 s, hybrid", source, quantized, peer, feeds[0])


def fast_conformer(folder: Path) -> Family:
    """Four layers of a FastConformer with random weights, behind Parakeet's subsampling."""
    source = subsampling.write(folder, layers=4)
    random = np.random.default_rng(0)
    features = random.standard_normal((1, FRAMES, subsampling.BANDS), np.float32)
    feed = {"features": features, "lengths": np.array([FRAMES])}
    return _transformer("FastConformer, four layers of 512", "10 s, hybrid", source, feed)


def zipformer_medium(folder: Path) -> Family:
    """The medium Zipformer with one layer in each of its six stacks."""
    (folder / "weights").mkdir()
    size = zipformer.ZipformerSize(layers=(1,) * 6)
    source = zipformer.write(size, folder / "float32.onnx", folder / "weights")
    random = np.random.default_rng(0)
    features = random.standard_normal((1, FRAMES, zipformer.BANDS), np.float32)
    feed = {"features": features, "lengths": np.array([FRAMES])}
    name = "Zipformer, medium, one layer of each stack"
    return _transformer(name, "10 s, hybrid", source, feed)


def _transformer(name: str, described: str, source: Path, feed: Feed) -> Family:
    """Calibrated on what it is run on, because only times count."""
    folder = source.parent
    quantized = quantize_model(source, folder / "int8.onnx", "hybrid", [("noise", feed)]).path
    peer = openvino_peer.quantize(source, folder / "nncf.xml", [feed], transformer=True)
    dynamic = folder / "dynamic.onnx"
    quantize_dynamic(source, dynamic, op_types_to_quantize=["MatMul"])
    return Family(name, described, source, quantized, peer, feed, dynamic)


def moonshine(folder: Path, published: Path) -> Family:
    """The encoder of Moonshine base with its real weights."""
    whole, quantized = folder / "whole.onnx", folder / "int8.onnx"
    quantkit.export(published, whole)
    quantkit.quantize(whole, quantized, "hybrid", ROOT / "calibration_data")
    for path in (whole, quantized):
        _encoder_alone(path)
    random = np.random.default_rng(0)
    feed = {"waveform": random.standard_normal((1, 160_000), np.float32) * np.float32(0.1)}
    peer = openvino_peer.quantize(whole, folder / "nncf.xml", [feed], transformer=True)
    dynamic = folder / "dynamic.onnx"
    quantize_dynamic(whole, dynamic, op_types_to_quantize=["MatMul"])
    name = "Moonshine base, encoder"
    return Family(name, "10 s, hybrid", whole, quantized, peer, feed, dynamic)


def _encoder_alone(path: Path) -> None:
    """Let an artifact be its first graph and nothing else."""
    model = onnx.load(path)
    del model.metadata_props[:]
    model.producer_name = ""
    onnx.save(model, path)


FAMILIES: tuple[Callable[[Path], Family], ...] = (
    *(wav2letter, shipped, spotter, wav2vec2, whisper, fast_conformer, zipformer_medium),
)


def profile(family: Family, rounds: int, threads: int) -> Profile:
    """Run all in turn, then those in integers by themselves."""
    theirs = Peer(family.peer, threads=threads)
    feed = dict(family.feed)
    paths = [family.source, family.quantized, *([family.dynamic] if family.dynamic else [])]
    runs = [partial(create_session(path, threads=threads).run, None, feed) for path in paths]
    runs.insert(2, partial(theirs.run, feed))
    seconds = interleaved_seconds(
        runs,
        threads=threads,
        effort=Effort(rounds=rounds, min_rounds=rounds),
        clock=time.process_time if threads == 1 else time.perf_counter,
    )
    whole = tuple(1_000 * float(each) for each in np.median(seconds, axis=0))
    names = [layer.name for layer in find_layers(open_model(family.source))]
    ours, between = _ours(family.quantized, feed, names, threads)
    others = [_theirs(family, names, threads)]
    if family.dynamic:
        by_layer, rest = _ours(family.dynamic, feed, names, threads)
        others.append((by_layer, sum(rest.values())))
    every = [ours, *(by_layer for by_layer, _ in others)]
    return Profile(
        whole,
        {
            kind: (count, tuple(sum(each[name] for name in members) for each in every))
            for kind, count, members in _kinds([name for name in names if ours[name]])
        },
        between,
        tuple(rest for _, rest in others),
    )


def _ours(
    path: Path, feed: Feed, names: Sequence[str], threads: int
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Milliseconds in ONNX Runtime by layer, and of what is none by operator."""
    operators = {node.name: node.op_type for node in optimised_graph(path).node}
    by_layer: dict[str, float] = defaultdict(float)
    between: dict[str, float] = defaultdict(float)
    for node, taken in node_milliseconds(path, feed, threads=threads).items():
        layer = _layer_of(name_before_fusion(node).removesuffix("_quant"), names)
        if layer:
            by_layer[layer] += taken
        else:
            between[operators.get(node, "others")] += taken
    return by_layer, between


def _theirs(
    family: Family, names: Sequence[str], threads: int
) -> tuple[Mapping[str, float], float]:
    peer = Peer(family.peer, threads=threads, profile=True)
    fastest: dict[tuple[str, ...], float] = {}
    for _ in range(_PROFILED_RUNS):
        peer.run(family.feed)
        for merged, taken in peer.layers().items():
            fastest[merged] = min(fastest.get(merged, taken), taken)
    by_layer: dict[str, float] = defaultdict(float)
    between = 0.0
    for merged, taken in fastest.items():
        layer = next((found for name in merged if (found := _layer_of(name, names))), "")
        if layer:
            by_layer[layer] += taken
        else:
            between += taken
    return by_layer, between


def _layer_of(node: str, names: Sequence[str]) -> str:
    """The layer that a node of an optimised graph belongs to: both put a slash behind its name."""
    first = node.split("/")[0]
    return first if first in names else ""


def _kinds(names: Sequence[str]) -> Iterator[tuple[str, int, list[str]]]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in names:
        kinds[re.sub(r"\d+", "#", name) if len(names) > _ROWS else name].append(name)
    for kind, members in kinds.items():
        yield (kind if len(members) > 1 else members[0]), len(members), members


def section_of(family: Family, found: Mapping[int, Profile]) -> str:
    """Heading, totals and table of one family, by threads."""
    first = next(iter(found.values()))
    kinds = sorted(first.layers, key=lambda kind: -first.layers[kind][1][0])[:_ROWS]
    others = ["OpenVINO", *(["dynamic"] if family.dynamic else [])]
    nothing = (0, (0.0,) * (1 + len(others)))
    rows = []
    for kind in kinds:
        cells = [each.layers.get(kind, nothing)[1] for each in found.values()]
        rows.append([kind, f"{first.layers[kind][0]}", *_cells(cells)])
    between = [(sum(each.between.values()), *each.others_between) for each in found.values()]
    rows.append(["between layers", "", *_cells(between)])
    rows.append(["all", "", *_cells([each.whole[1:] for each in found.values()])])
    largest = sorted(first.between.items(), key=lambda each: -each[1])[:5]
    listed = ", ".join(f"{name} {taken:.2f}" for name, taken in largest)
    names = ["quantkit", "OpenVINO + NNCF", *(["quantize_dynamic"] if family.dynamic else [])]
    speeds = "; ".join(
        f"{_of(threads)} float32 {each.whole[0]:.1f} ms, "
        + ", ".join(
            f"{name} {each.whole[0] / taken:.2f}×"
            for name, taken in zip(names, each.whole[1:], strict=True)
        )
        for threads, each in found.items()
    )
    header = ["layers", "count"]
    for threads in found:
        header.append(f"{_of(threads)} quantkit, ms")
        header += [cell for name in others for cell in (f"{name}, ms", f"{name} / quantkit")]
    return f"""### {family.name}

{family.described}. In turn, medians: {speeds}.

{table(header, rows)}

Between layers on one thread, by operator of ONNX Runtime, ms: {listed}.
"""


def _cells(times: Iterable[Sequence[float]]) -> list[str]:
    """Of ours and the others, for each number of threads."""
    cells = []
    for ours, *others in times:
        cells.append(f"{ours:.2f}")
        for each in others:
            cells += [f"{each:.2f}", f"{each / ours:.2f}×" if ours else "–"]
    return cells


def _of(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}:"


@click.command()
@click.option("--rounds", default=15, show_default=True, help="Runs of each model in turn.")
@click.option("--only", multiple=True, help="Names of families, such as spotter; default: all.")
@click.option("--moonshine", "published", type=click.Path(path_type=Path), help="Its folder.")
def main(rounds: int, only: tuple[str, ...], published: Path | None) -> None:
    """Profile all families, and renew the section in RESULTS.md if none is left out."""
    if not openvino_peer.available():
        raise click.ClickException("install the extra `peers` first: pip install -e .[peers]")
    sections = []
    made = [*FAMILIES]
    if published:
        made.append(update_wrapper(partial(moonshine, published=published), moonshine))
    for make in made:
        if only and make.__name__ not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            family = make(Path(folder))
            found = {threads: profile(family, rounds, threads) for threads in _THREADS}
            sections.append(section_of(family, found))
            click.echo(sections[-1])
    if only:
        return
    joined = "\n".join(sections)
    replace_section(
        "layer-profile",
        f"""## Layer by layer beside OpenVINO

`python -m benchmarks.layer_profile`: one clip, on one and two threads of {cores()} cores.
Times are of the processor for one thread, and of the clock for more. Layers whose names differ in a
number stand together; each of the two ran alone while it was profiled. {host()}.

{joined}""",
    )


if __name__ == "__main__":
    main()
