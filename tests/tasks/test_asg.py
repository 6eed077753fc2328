"""A model of the auto segmentation criterion, through every step."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

import quantkit  # noqa: E402
from quantkit.audio.decode import read_audio  # noqa: E402
from quantkit.audio.frontend import Frontend  # noqa: E402
from quantkit.errors import InputError  # noqa: E402
from quantkit.exporting.streaming import export_streaming_wav2letter  # noqa: E402
from quantkit.exporting.to_onnx import export_wav2letter  # noqa: E402
from quantkit.finetuning.settings import FinetuneSettings  # noqa: E402
from quantkit.graph.artifact import read_info  # noqa: E402
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig  # noqa: E402
from quantkit.runtime.recognizer import Recognizer  # noqa: E402
from quantkit.tasks.catalogue import task_of  # noqa: E402
from quantkit.text.asg import Asg, asg_loss, best_path  # noqa: E402
from quantkit.text.decoding import Decoding  # noqa: E402
from quantkit.text.labels import Labels  # noqa: E402
from tests.bundles.test_examples import run_node  # noqa: E402
from tests.clients.installed import can_run_node  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def labels() -> Labels:
    plain = Labels.english().without_blank()
    transitions = np.random.default_rng(0).standard_normal((len(plain),) * 2)
    return replace(plain, asg=Asg.of(plain.asg.repeats, transitions))


@pytest.fixture(scope="module")
def model(labels: Labels) -> Wav2Letter:
    torch.manual_seed(0)
    made = Wav2Letter(Wav2LetterConfig(labels=len(labels), width=16, head_width=16)).eval()
    with torch.no_grad():
        # Random weights are as good as silent: texts would be all of one letter.
        made.output.weight.mul_(60.0)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("asg")


@pytest.fixture(scope="module")
def source(folder: Path, model: Wav2Letter, labels: Labels) -> Path:
    path = folder / "float32.onnx"
    export_wav2letter(model, labels, Frontend(), path, name="asg", licence="CC0-1.0")
    return path


@pytest.fixture(scope="module")
def audio(folder: Path) -> Path:
    (folder / "audio").mkdir()
    random = np.random.default_rng(0)
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for i in range(6):
        loud = np.exp(random.standard_normal(8)).repeat(1_500)
        clip = np.clip(0.05 * loud * random.standard_normal(12_000), -0.9, 0.9)
        soundfile.write(folder / "audio" / f"{i}.wav", clip, 16_000, subtype="PCM_16")
        rows.append(f"{i}.wav\ttrain\ts\t\ten\t0.75\tall")
    (folder / "audio" / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder / "audio"


def _heard(path: Path, clip: Path, **decoding) -> tuple[Recognizer, np.ndarray]:
    opened = Recognizer.load(path, decoding=Decoding(**decoding))
    (rows,) = opened.log_probs([opened.features(read_audio(clip))])
    return opened, rows


def test_the_artifact_says_what_it_is_and_holds_the_transitions(
    source: Path, labels: Labels
) -> None:
    info = read_info(source)
    assert info.task == task_of(info).name == "asg"
    assert info.labels == labels


def test_its_text_is_the_best_path_through_all_frames(
    source: Path, audio: Path, labels: Labels
) -> None:
    opened, rows = _heard(source, audio / "0.wav")
    path = best_path(rows, labels.asg.matrix)
    collapsed = [i for n, i in enumerate(path) if not n or path[n - 1] != i]
    assert opened.text_of(rows) == " ".join(labels.decode(collapsed).split())
    assert len(opened.text_of(rows)) > 5
    # Single frames say something else.
    assert path != rows.argmax(axis=1).tolist()


def test_its_loss_is_that_of_the_criterion(source: Path, audio: Path, labels: Labels) -> None:
    opened, rows = _heard(source, audio / "0.wav")
    wanted = asg_loss(rows, labels.encode("all"), labels.asg.matrix)
    assert opened.loss(rows, "ALL") == pytest.approx(wanted)
    assert opened.loss(rows, "5") is None


def test_words_have_times_and_repeated_letters(source: Path, audio: Path) -> None:
    opened, rows = _heard(source, audio / "1.wav", words=True)
    words = opened.words_of(rows, 0.75)
    assert " ".join(word.text for word in words) == opened.text_of(rows)
    assert all(0 <= word.start < word.end <= 0.75 for word in words)
    assert all(0 < word.confidence <= 1 for word in words)


def test_a_language_model_is_refused_in_one_line(source: Path, audio: Path) -> None:
    with pytest.raises(InputError, match="language model"):
        quantkit.load(source, decoding=Decoding(decoder="beam", language_model=Path("some.arpa")))


def test_it_cannot_hear_in_chunks(model: Wav2Letter, labels: Labels, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="export it without --streaming"):
        export_streaming_wav2letter(model, labels, Frontend(), tmp_path / "s.onnx", 0.64)


def test_quantized_it_keeps_the_transitions_and_is_shipped_with_viterbi(
    source: Path, audio: Path, labels: Labels, folder: Path
) -> None:
    settings = quantkit.QuantizeSettings(
        compute="static", codec=quantkit.CodecChoice.parse("bitplane:5")
    )
    path = folder / "small.onnx"
    quantkit.quantize(source, path, settings, audio)
    assert read_info(path).labels == labels
    quantkit.ship(path, folder / "bundle")
    kept = json.loads((folder / "bundle" / "labels.json").read_text())
    assert kept["asg"]["transitions"] == [list(row) for row in labels.asg.transitions]
    assert "ASG" in (folder / "bundle" / "CARD.md").read_text()
    for clip in sorted(audio.glob("*.wav"))[:3]:
        example = [sys.executable, str(folder / "bundle" / "example.py"), str(clip)]
        done = subprocess.run(example, capture_output=True, text=True, check=True)
        assert done.stdout.rstrip("\n") == quantkit.load(path).transcribe(clip).text
        if can_run_node():
            assert run_node(folder / "bundle", clip).stdout == done.stdout


def test_transcripts_are_learned_by_its_own_criterion(
    source: Path, audio: Path, folder: Path
) -> None:
    settings = quantkit.QuantizeSettings(
        compute="static", codec=quantkit.CodecChoice.parse("bitplane:3")
    )
    seen: list[float] = []
    for weight in (0.1, 10.0):
        quantkit.finetune(
            source,
            folder / f"{weight}.onnx",
            settings,
            audio,
            transcripts=True,
            settings=FinetuneSettings(minutes=5, steps=1, ctc_weight=weight, precision="float32"),
            on_step=lambda step: seen.append(step.loss),
        )
    assert seen[1] > seen[0] + 1
