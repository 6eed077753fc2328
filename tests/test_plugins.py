"""What other packages add by entry points, and what a broken one costs.

``plugin_package/`` is such a package: a codec, a corpus layout and a family of models.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit import plugins
from quantkit.audio.corpora import layout_names, open_corpus
from quantkit.codecs.base import Codec, Encoded, Weight, blank
from quantkit.codecs.catalogue import NAMES, CodecChoice, codec_names
from quantkit.errors import CheckpointError, CorpusError, InputError
from quantkit.graph.artifact import save_model
from quantkit.runtime.session import create_session
from tests.codecs.conftest import decoded as decoded
from tests.small_model import masked_convolutions

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = Path(__file__).resolve().parent / "plugin_package"


def install(site: Path, name: str, entries: dict[str, dict[str, str]]) -> None:
    """What ``pip install`` writes for a package of that name, without asking an index."""
    information = site / f"{name.replace('-', '_')}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, values in entries.items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in values.items()))
    ]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed, as its own ``pyproject.toml`` says."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    shutil.copytree(PACKAGE / "speech_extras", site / "speech_extras")
    install(site, project["name"], project["entry-points"])
    return site


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Call it with a folder, and what is installed there can be imported, in this test only."""

    def reach(folder: Path) -> None:
        monkeypatch.syspath_prepend(folder)
        plugins.forget()

    yield reach
    monkeypatch.undo()
    plugins.forget()
    for name in [n for n in sys.modules if n.partition(".")[0] in ("speech_extras", "broken")]:
        del sys.modules[name]


@pytest.fixture
def installed(site: Path, reached: Callable[[Path], None]) -> None:
    reached(site)


@pytest.fixture
def break_it(
    tmp_path: Path, reached: Callable[[Path], None]
) -> Callable[[str, dict[str, dict[str, str]]], Path]:
    """Install a package ``broken-goods`` whose module has that code; returns its folder."""

    def build(code: str, entries: dict[str, dict[str, str]]) -> Path:
        folder = tmp_path / "broken site"
        install(folder, "broken-goods", entries)
        (folder / "broken.py").write_text(code)
        reached(folder)
        return folder

    return build


def quantkit(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """``quantkit ARGUMENTS`` in a process of its own that finds what is installed in ``site``."""
    paths = os.pathsep.join([str(REPOSITORY), str(site)])
    return subprocess.run(
        [sys.executable, "-m", "quantkit", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def lj_speech(tmp_path: Path) -> Path:
    """A corpus of three clips in the layout of LJ Speech."""
    folder = tmp_path / "lj"
    (folder / "wavs").mkdir(parents=True)
    random = np.random.default_rng(0)
    (folder / "metadata.csv").write_text("".join(f'{n}|Say "{n}"!|say "{n}"\n' for n in "abc"))
    for name in "abc":
        soundfile.write(folder / "wavs" / f"{name}.wav", random.uniform(-0.3, 0.3, 16_000), 16_000)
    return folder


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(masked_convolutions(), path)
    return path


@pytest.mark.usefixtures("installed")
class TestCodec:
    def test_it_is_named_like_one_of_our_own(self) -> None:
        choice = CodecChoice.parse("squares:3")
        assert str(choice) == "squares:3"
        assert choice.make().levels.tolist() == [-16, -9, -4, -1, 0, 1, 4, 9]

    def test_it_is_listed_behind_our_own(self) -> None:
        assert codec_names() == (*NAMES, "squares")
        with pytest.raises(InputError, match=r"unknown codec 'wavelet'; .*blocks, squares$"):
            CodecChoice.parse("wavelet:3")

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("squares", "say how many bits, such as squares:4"),
            ("squares:7", "squares has 2 to 4 bits, not 7"),
            ("squares:3,keep=1", "codec squares has no option 'keep'"),
        ],
    )
    def test_mistakes_are_named(self, text: str, problem: str) -> None:
        with pytest.raises(InputError, match=problem):
            CodecChoice.parse(text)

    @pytest.mark.parametrize("bits", [2, 3, 4])
    def test_its_decoder_gives_its_levels(
        self, bits: int, decoded: Callable[[Codec, Weight, Encoded], np.ndarray]
    ) -> None:
        codec = CodecChoice("squares", bits).make()
        values = np.random.default_rng(bits).standard_normal((5, 3, 7)).astype(np.float32)
        values[1] = 0
        weight = Weight(values, axis=0)
        encoded = codec.encode(weight)
        assert np.array_equal(decoded(codec, weight, encoded), encoded.levels)
        assert [p.part for p in blank(codec, values.shape, 0, seed=0)] == [
            p.part for p in encoded.packed
        ]


@pytest.mark.usefixtures("installed")
class TestCorpus:
    def test_its_folders_are_recognised(self, lj_speech: Path) -> None:
        corpus = open_corpus(lj_speech)
        assert [(u.identifier, u.speaker, u.text) for u in corpus] == [
            ("wavs/a.wav", "LJ", 'say "a"'),
            ("wavs/b.wav", "LJ", 'say "b"'),
            ("wavs/c.wav", "LJ", 'say "c"'),
        ]

    def test_it_can_be_named(self, lj_speech: Path) -> None:
        assert len(open_corpus(lj_speech, "lj-speech")) == 3
        assert layout_names()[-1] == "lj-speech"
        with pytest.raises(CorpusError, match=r"layouts are manifest, .*, plain, lj-speech"):
            open_corpus(lj_speech, "kaldi")

    def test_a_manifest_still_decides(self, lj_speech: Path) -> None:
        (lj_speech / "manifest.tsv").write_text("path\ttext\nwavs/a.wav\tother\n")
        assert [u.text for u in open_corpus(lj_speech)] == ["other"]

    def test_its_own_error_is_shown_as_it_is(self, lj_speech: Path) -> None:
        with (lj_speech / "metadata.csv").open("a") as table:
            table.write("../../secret|hello|hello\n")
        with pytest.raises(CorpusError, match=r"metadata\.csv, line 4: path .* leaves the corpus"):
            open_corpus(lj_speech)

    def test_an_error_that_it_did_not_foresee_names_the_package(self, lj_speech: Path) -> None:
        (lj_speech / "metadata.csv").write_text("a|hello\n")
        with pytest.raises(CorpusError, match="a layout of package speech-extras: ValueError"):
            open_corpus(lj_speech)


def test_without_the_package_the_same_folder_is_plain_audio(lj_speech: Path) -> None:
    assert {u.text for u in open_corpus(lj_speech)} == {None}


class TestFamily:
    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Path:
        pytest.importorskip("torch")
        from transformers import UniSpeechSatConfig, UniSpeechSatForCTC

        from tests.pretrained import SIZES, save

        return save(tmp_path / "unispeech", UniSpeechSatForCTC(UniSpeechSatConfig(**SIZES)).eval())

    @pytest.mark.usefixtures("installed")
    def test_its_models_compute_what_transformers_computes(self, checkpoint: Path) -> None:
        import torch

        from quantkit.models.pretrained import load_pretrained

        loaded = load_pretrained(checkpoint)
        torch.manual_seed(0)
        waveform = torch.randn(1, 4_000)
        clip = (waveform - waveform.mean()) / (waveform.var(unbiased=False) + 1e-7).sqrt()
        with torch.no_grad():
            log_probs, lengths = loaded.module()(waveform, torch.tensor([4_000]))
            expected = loaded.model(clip).logits.log_softmax(-1)
        assert lengths.tolist() == [expected.shape[1]]
        torch.testing.assert_close(log_probs, expected, atol=1e-4, rtol=0)

    @pytest.mark.usefixtures("installed")
    def test_it_is_listed_among_our_own(self) -> None:
        pytest.importorskip("torch")
        from quantkit.models.adapters import ARCHITECTURES, architecture_names

        added = ("UniSpeechSatForCTC", "UniSpeechSatForSequenceClassification")
        assert architecture_names() == tuple(sorted((*ARCHITECTURES, *added)))

    def test_without_the_package_its_models_are_unknown(self, checkpoint: Path) -> None:
        from quantkit.models.pretrained import load_pretrained

        with pytest.raises(
            CheckpointError,
            match=r"unknown architecture \(UniSpeechSatForCTC\); known: CanaryForConditionalGen",
        ):
            load_pretrained(checkpoint)

    @pytest.mark.slow
    def test_it_can_be_exported(self, site: Path, checkpoint: Path, tmp_path: Path) -> None:
        done = quantkit(site, "export", checkpoint, "-o", tmp_path / "float32.onnx", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["parity"]["worst"]["difference"] < 1e-3


@pytest.mark.slow
class TestCommandLine:
    """A process of its own finds what is installed."""

    def test_a_model_is_quantized_with_the_codec_on_the_corpus(
        self, site: Path, small_model: Path, lj_speech: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "squares.onnx"
        how = ("--compute", "static", "--codec", "squares:3", "--audio", lj_speech)
        done = quantkit(site, "quantize", small_model, *how, "--speaker", "LJ", "-o", output)
        assert done.returncode == 0, done.stderr
        shown = json.loads(quantkit(site, "inspect", output, "--json").stdout)
        assert [(row["codec"], row["bits"]) for row in shown["layers"]] == [("squares", 3)] * 6
        # Whoever runs the file needs neither the package nor quantkit.
        features = np.random.default_rng(0).standard_normal((1, 50, 40), np.float32)
        feeds = {"features": features, "lengths": np.array([50])}
        (log_probs,) = create_session(output).run(["log_probs"], feeds)
        assert np.isfinite(log_probs).all()
        assert quantkit(tmp_path, "inspect", output).returncode == 0

    def test_the_same_codec_without_the_package(
        self, small_model: Path, lj_speech: Path, tmp_path: Path
    ) -> None:
        how = ("--compute", "static", "--codec", "squares:3", "--audio", lj_speech)
        done = quantkit(tmp_path, "quantize", small_model, *how, "-o", tmp_path / "q.onnx")
        assert done.returncode == 2
        assert done.stderr == (
            f"quantkit: unknown codec 'squares'; choose one of {', '.join(NAMES)}\n"
        )


class TestBroken:
    @pytest.mark.parametrize(
        ("code", "value", "reason"),
        [
            ("import a_library_that_is_missing", "broken:Codec", "ModuleNotFoundError"),
            ("raise RuntimeError('no luck')", "broken:Codec", "RuntimeError: no luck"),
            ("", "broken:Codec", "AttributeError"),
            ("Codec = 3", "broken:Codec", "broken:Codec is not a class or a function that makes"),
            ("Codec = 3", "!", "cannot be loaded"),
        ],
    )
    def test_it_costs_one_warning_that_names_it(
        self,
        code: str,
        value: str,
        reason: str,
        break_it: Callable[..., Path],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        break_it(code, {"quantkit.codecs": {"bent": value}})
        for _ in range(2):
            with pytest.raises(InputError, match=f"unknown codec 'bent'; .*, {NAMES[-1]}$"):
                CodecChoice.parse("bent:4")
        (warning,) = caplog.messages
        assert warning.startswith("codec 'bent' of package broken-goods")
        assert reason in warning
        assert warning.endswith("; it is ignored")

    @pytest.mark.slow
    def test_what_does_not_need_it_never_hears_of_it(
        self, break_it: Callable[..., Path], small_model: Path, tmp_path: Path
    ) -> None:
        entries = {f"quantkit.{group}": {"bent": "broken:X"} for group in ("codecs", "families")}
        site = break_it("1 / 0", entries)
        done = quantkit(
            site, "quantize", small_model, "--preset", "int8", "-o", tmp_path / "q.onnx"
        )
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.slow
    def test_a_command_that_asks_for_it_says_why_in_two_lines(
        self, break_it: Callable[..., Path], small_model: Path, tmp_path: Path
    ) -> None:
        site = break_it("1 / 0", {"quantkit.codecs": {"bent": "broken:X"}})
        how = ("--compute", "dynamic", "--codec", "bent:4", "-o", tmp_path / "q.onnx")
        done = quantkit(site, "quantize", small_model, *how)
        assert done.returncode == 2
        warning, error = done.stderr.splitlines()
        assert "codec 'bent' of package broken-goods cannot be loaded: ZeroDivisionErr" in warning
        assert error.startswith("quantkit: unknown codec 'bent'")

    def test_a_damaged_list_of_entry_points(
        self, break_it: Callable[..., Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        site = break_it("", {})
        listed = next(site.glob("*.dist-info")) / "entry_points.txt"
        listed.write_text("[quantkit.codecs]\nno equals sign\n")
        assert codec_names() == NAMES
        assert codec_names() == NAMES
        (warning,) = caplog.messages
        assert warning.startswith("the entry points of package broken-goods cannot be read")
        # Nor do ours depend on what is wrong in the lists of others.
        listed.write_text("[console_scripts]\nno equals sign\n")
        plugins.forget()
        assert codec_names() == NAMES
        assert caplog.messages == [warning]

    def test_a_codec_that_cannot_be_made(self, break_it: Callable[..., Path]) -> None:
        break_it("def X(bits): return bits / 0", {"quantkit.codecs": {"bent": "broken:X"}})
        with pytest.raises(InputError, match="codec 'bent' of package broken-goods cannot be made"):
            CodecChoice.parse("bent:4")

    def test_a_codec_under_another_name_than_its_own(self, break_it: Callable[..., Path]) -> None:
        code = "from quantkit.codecs.bitplane import Bitplane as X"
        break_it(code, {"quantkit.codecs": {"bent": "broken:X"}})
        with pytest.raises(InputError, match="of package broken-goods calls itself 'bitplane'"):
            CodecChoice.parse("bent:4")

    def test_a_layout_that_fails_to_look_is_passed_over(
        self, break_it: Callable[..., Path], lj_speech: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        code = """
from quantkit.audio.corpora import Layout
def load(folder): return None
def look(folder): raise KeyError("size")
X = Layout(load, look)
"""
        break_it(code, {"quantkit.corpora": {"bent": "broken:X"}})
        assert len(open_corpus(lj_speech)) == 3
        assert len(open_corpus(lj_speech)) == 3
        (warning,) = caplog.messages
        assert "corpus layout 'bent' of package broken-goods fails: KeyError" in warning

    def test_two_packages_with_the_same_name(
        self, break_it: Callable[..., Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        site = break_it("X = dict", {"quantkit.codecs": {"bent": "broken:X"}})
        install(site, "other-goods", {"quantkit.codecs": {"bent": "broken:X"}})
        plugins.forget()
        with pytest.raises(InputError, match="unknown codec 'bent'"):
            CodecChoice.parse("bent:4")
        (warning,) = caplog.messages
        assert "broken-goods" in warning
        assert "other-goods" in warning


class TestOurOwnNames:
    def test_a_package_cannot_take_them(
        self, break_it: Callable[..., Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        groups: dict[str, Sequence[str]] = {"codecs": ("int8", "bitplane"), "corpora": ("plain",)}
        break_it(
            "1 / 0",
            {f"quantkit.{g}": dict.fromkeys(names, "broken:X") for g, names in groups.items()},
        )
        assert CodecChoice.parse("bitplane:4").make().name == "bitplane"
        assert caplog.messages == []
        assert codec_names() == NAMES
        assert layout_names()[-1] == "plain"
        assert sorted(m.partition(" called ")[2].partition(",")[0] for m in caplog.messages) == [
            "'bitplane'",
            "'int8'",
            "'plain'",
        ]

    def test_installed_packages_are_not_searched_for_them(
        self, small_model: Path, lj_speech: Path
    ) -> None:
        plugins.forget()
        (lj_speech / "manifest.tsv").write_text("path\ttext\nwavs/a.wav\tx\n")
        open_corpus(lj_speech)
        assert CodecChoice.parse("grouped:3").make().bits == 3
        assert plugins._entries.cache_info().misses == 0

    def test_the_search_is_not_even_imported(self) -> None:
        code = "import sys, quantkit.plugins; print('importlib.metadata' in sys.modules)"
        answer = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        assert answer.stdout == "False\n"
