from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.models.wav2letter import Wav2LetterConfig
from quantkit.training.recipe import (
    TeacherSettings,
    load_recipe,
    preset,
    preset_names,
    task_of,
)
from quantkit.training.transducers.settings import RnntSettings, TdtSettings
from quantkit.training.wav2vec2.settings import Wav2Vec2Settings

_MINIMAL = """
[model]
labels = 29
[[source]]
name = "a"
[[stage]]
until = 0.5
max_seconds = 3.0
repeats = { a = 1 }
[[stage]]
until = 1.0
max_seconds = 20.0
repeats = { a = 2.5 }
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_names_model_sources_and_curriculum(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, "steps = 10\n" + _MINIMAL))
    assert isinstance(recipe.model, Wav2LetterConfig)
    assert recipe.model.labels == 29
    assert recipe.sources[0].name == "a"
    assert [recipe.stage_at(step).max_seconds for step in (0, 4, 5, 10)] == [3.0, 3.0, 20.0, 20.0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('criterion = "mmi"\n' + _MINIMAL, "criterion must be one of ctc, asg, not 'mmi'"),
        ("repeats = 9\n" + _MINIMAL, "repeats"),
        ("steps = [", "not TOML"),
        ("steps = " + "9" * 5000, "not TOML"),
        ("steps = " + "[" * 5000, "nested too deeply"),
        ("colour = 3\n" + _MINIMAL, "colour"),
        ("steps = 0\n" + _MINIMAL, "steps must be at least 1"),
        (_MINIMAL + "[optimizer]\nname = 'lion'\n", "lion"),
        (_MINIMAL.replace("a = 2.5", "b = 1"), r"\[\[stage\]\] 2: repeats names unknown source b"),
        ("[model]\nlabels = 29\n", "at least one"),
        ('steps = "10"\n' + _MINIMAL, "steps must be a whole number, not '10'"),
        ("average_decay = 1\n" + _MINIMAL, "average_decay must be at least 0 and below 1"),
        (
            _MINIMAL + "[augment]\nquietest_noise = 5\n",
            r"\[augment\]: quietest_noise must not be below loudest_noise",
        ),
        (_MINIMAL + "[augment]\nroom_probability = 2\n", "room_probability must be at least 0"),
        ("seed = -1\n" + _MINIMAL, "seed must be at least 0"),
        ("model = 3\n", r"\[model\] must be a table of named values, not 3"),
        ("source = 3\n", r"source must be a list of tables, \[\[source\]\]"),
        ("source = [3]\n", r"\[\[source\]\] 1 must be a table"),
        ("sources = []\n" + _MINIMAL, "unknown setting sources"),
        (_MINIMAL.replace("{ a = 2.5 }", "3"), r"\[\[stage\]\] 2: repeats must be a table"),
        (_MINIMAL.replace("2.5", "'x'"), r"\[\[stage\]\] 2: repeats.a must be a number"),
        (_MINIMAL.replace("2.5", "-1"), "repeats.a must be at least 0 and at most 1000"),
        (_MINIMAL.replace("0.5", "'x'"), r"\[\[stage\]\] 1: until must be a number, not 'x'"),
        (_MINIMAL.replace("until = 0.5", ""), r"\[\[stage\]\] 1: until is missing"),
        (_MINIMAL.replace("labels = 29", "width = 0"), r"\[model\]: width must be at least 1"),
        (_MINIMAL.replace("labels = 29", "dropout = nan"), r"\[model\]: dropout must be a number"),
        (_MINIMAL + "[optimizer]\nlearning_rate = -1\n", "learning_rate must be above 0, not -1"),
        (_MINIMAL + "[[source]]\nname = 'a'\n", r"\[\[source\]\] 2: .* unique name"),
        (_MINIMAL.replace('"a"', '"a"\ndrop = "no"'), r"\[\[source\]\] 1: drop must be a list"),
        (_MINIMAL.replace('"a"', '"a"\ntest_share = 0.99'), "leave nothing to train on"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_recipe(_write(tmp_path, text))


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read recipe"):
        load_recipe(tmp_path / "none.toml")


def test_the_published_recipes_are_presets() -> None:
    letters, phonemes = preset("published-hw4p2"), preset("published-hw3p2")
    for recipe in (letters, phonemes):
        assert isinstance(recipe.model, Wav2LetterConfig)
        assert (recipe.model.width, recipe.model.head_width, recipe.model.dropout) == (
            250,
            2000,
            0.2,
        )
        assert recipe.optimizer.name == "adam"
        assert recipe.batch_clips == 128
        assert (recipe.optimizer.plateau_patience, recipe.optimizer.plateau_factor) == (5, 0.1)
    assert (letters.optimizer.learning_rate, letters.optimizer.weight_decay) == (2e-4, 5e-5)
    assert (phonemes.optimizer.learning_rate, phonemes.optimizer.weight_decay) == (2e-3, 1e-5)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="published-hw4p2"):
        preset("bigger")
    assert set(preset_names()) == {"published-hw3p2", "published-hw4p2", "small"}


def test_the_shipped_recipe_loads() -> None:
    shipped = Path(__file__).parents[2] / "models" / "wav2letter-en" / "recipe.toml"
    recipe = load_recipe(shipped)
    held_out = {source.name: source for source in recipe.sources}
    assert held_out["speech_commands"].holdout == "speaker"
    assert held_out["speech_commands"].test_share > 0
    assert held_out["librispeech"].split == held_out["digits"].split == "train"


def test_a_recipe_may_train_without_a_blank(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, 'criterion = "asg"\nrepeats = 1\n' + _MINIMAL))
    assert (recipe.criterion, recipe.repeats) == ("asg", 1)
    assert load_recipe(_write(tmp_path, _MINIMAL)).criterion == "ctc"


_TRANSDUCER = _MINIMAL.replace("labels = 29", "hidden_size = 96")


@pytest.mark.parametrize(("task", "kind"), [("rnnt", RnntSettings), ("tdt", TdtSettings)])
def test_the_task_chooses_the_model(tmp_path: Path, task: str, kind: type[RnntSettings]) -> None:
    path = _write(tmp_path, f"task = '{task}'\n" + _TRANSDUCER)
    assert task_of(path) == task
    model = load_recipe(path).model
    assert type(model) is kind
    assert model.hidden_size == 96


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (_TRANSDUCER.replace("96", "97"), r"\[model\]: hidden_size must be even"),
        (_TRANSDUCER.replace("96", "98"), "a multiple of num_attention_heads"),
        (_TRANSDUCER.replace("hidden_size", "labels"), r"\[model\]: unknown setting labels"),
        (
            _TRANSDUCER.replace("hidden_size = 96", "conv_kernel_size = 8"),
            "conv_kernel_size must be odd",
        ),
        (
            _TRANSDUCER.replace("hidden_size = 96", "subsampling_factor = 6"),
            "subsampling_factor must be 4 or 8",
        ),
        (
            _TRANSDUCER.replace("hidden_size = 96", "longest_duration = 0"),
            "longest_duration must be at least 1",
        ),
        (_TRANSDUCER + "[augment]\npause_seconds = -1\n", "pause_seconds must be at least 0"),
        (_TRANSDUCER.replace('"a"', '"a"\njoin_speakers = 1'), "join_speakers must be true or"),
    ],
)
def test_a_wrong_transducer_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_recipe(_write(tmp_path, "task = 'tdt'\n" + text))


def test_an_rnnt_has_no_durations(tmp_path: Path) -> None:
    text = "task = 'rnnt'\n" + _TRANSDUCER.replace("hidden_size = 96", "longest_duration = 4")
    with pytest.raises(InputError, match="unknown setting longest_duration"):
        load_recipe(_write(tmp_path, text))


_WAV2VEC2 = "task = 'wav2vec2'\n" + _TRANSDUCER


def test_a_wav2vec2_has_a_teacher_and_convolutions_beside_its_recipe(tmp_path: Path) -> None:
    text = 'convolutions = "../spotter"\n' + _WAV2VEC2
    recipe = load_recipe(_write(tmp_path, text + "[teacher]\ncheckpoint = '../letters'\n"))
    assert isinstance(recipe.model, Wav2Vec2Settings)
    assert recipe.model.hidden_size == 96
    assert recipe.teacher == TeacherSettings(str(tmp_path / "../letters"))
    assert recipe.convolutions == str(tmp_path / "../spotter")
    alone = load_recipe(_write(tmp_path, _WAV2VEC2))
    assert (alone.teacher, alone.convolutions) == (None, "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (_WAV2VEC2.replace("96", "97"), r"\[model\]: hidden_size must be a multiple of num_att"),
        (
            _WAV2VEC2.replace("hidden_size = 96", "conv_stride = [5, 2]"),
            r"\[model\]: conv_dim, conv_kernel and conv_stride must be lists of one length",
        ),
        (_WAV2VEC2 + "[teacher]\nsteps = 5\n", "checkpoint"),
        (_WAV2VEC2 + "[teacher]\ncheckpoint = 'x'\nsteps = 0\n", "steps must be"),
        (_MINIMAL + "[teacher]\ncheckpoint = 'x'\n", "only a model of task 'wav2vec2' has teacher"),
        (
            'convolutions = "x"\n' + _MINIMAL,
            "only a model of task 'wav2vec2' has convolutions",
        ),
    ],
)
def test_a_wrong_wav2vec2_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_recipe(_write(tmp_path, text))


@pytest.mark.parametrize(
    "recipe",
    [f"transducer-en/{name}" for name in ("recipe", "continue", "rnnt")] + ["wav2vec2-en/recipe"],
)
def test_the_recipe_of_a_shipped_model_holds_takes_and_people_out(recipe: str) -> None:
    path = Path(__file__).parents[2] / "models" / f"{recipe}.toml"
    sources = load_recipe(path).sources
    held_out = {source.name: source for source in sources}
    assert held_out["digits"].split == "train"
    assert held_out["speech_commands"].holdout == "speaker"
    assert held_out["speech_commands"].test_share == 0.2
    assert not any(source.join_speakers for source in sources)
