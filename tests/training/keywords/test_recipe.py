from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.training.keywords.recipe import load_keyword_recipe
from quantkit.training.recipe import load_recipe, task_of

_MINIMAL = """
task = "classification"
[[source]]
name = "words"
"""

_SHIPPED = Path(__file__).parents[3] / "models" / "keywords-en" / "recipe.toml"


def _write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_names_its_task_model_and_sources(tmp_path: Path) -> None:
    path = _write(tmp_path, _MINIMAL + "[model]\nconv_dim = [8, 8, 16, 16]\n")
    assert task_of(path) == "classification"
    recipe = load_keyword_recipe(path)
    assert recipe.model.conv_dim == (8, 8, 16, 16)
    assert [source.name for source in recipe.sources] == ["words"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("colour = 3\n", "colour"),
        ("steps = 0\n", "steps must be at least 1"),
        ("average_decay = 1\n", "average_decay must be at least 0 and below 1"),
        ("sources = []\n", "unknown setting sources"),
        ("model = 3\n", r"\[model\] must be a table"),
        ("[model]\nconv_dim = 8\n", r"\[model\]: conv_dim must be a list, not 8"),
        ("[model]\nconv_dim = [8, 'x']\n", r"conv_dim\[1\] must be a whole number, not 'x'"),
        ("[model]\nconv_dim = [8, 0]\n", r"conv_dim\[1\] must be at least 1"),
        ("[model]\nconv_dim = [8]\n", r"conv_stride must be lists of one length"),
        ("[model]\nhidden_size = 40\n", "hidden_size must be a multiple of 16"),
        ("[model]\nhidden_size = 16\nnum_attention_heads = 3\n", "and of num_attention_heads"),
        ("[model]\nconv_depthwise_kernel_size = 4\n", "conv_depthwise_kernel_size must be odd"),
        ("[optimizer]\nschedule = 'plateau'\n", "must be one-cycle or constant"),
        ("[augment]\nquietest_noise = -10\n", "quietest_noise must not be below loudest_noise"),
        ("[augment]\nmixup_alpha = 0\n", "mixup_alpha must be above 0"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    source = "" if text.startswith("[") else text
    table = text if text.startswith("[") else ""
    with pytest.raises(InputError, match=complaint):
        load_keyword_recipe(
            _write(tmp_path, f'{source}task = "classification"\n[[source]]\nname = "a"\n{table}')
        )


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", r"at least one \[\[source\]\]"),
        ('[[source]]\nname = "a"\njoin = 2\n', "cannot be joined"),
        ('[[source]]\nname = "a"\ntest_share = 0.99\n', "leave nothing to train on"),
        ('[[source]]\nname = "a"\n[[source]]\nname = "a"\n', "a unique name"),
    ],
)
def test_sources_must_be_usable(tmp_path: Path, source: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_keyword_recipe(_write(tmp_path, f'task = "classification"\n{source}'))


def test_a_recipe_for_another_task_is_not_mistaken(tmp_path: Path) -> None:
    path = _write(tmp_path, _MINIMAL)
    with pytest.raises(InputError, match="is for the task 'classification', not for 'ctc'"):
        load_recipe(path)
    path = _write(tmp_path, _MINIMAL.replace("classification", "ctc"))
    with pytest.raises(InputError, match="is for the task 'ctc', not for 'classification'"):
        load_keyword_recipe(path)
    path = _write(tmp_path, _MINIMAL.replace("classification", "diarization"))
    tasks = "ctc, classification, rnnt, tdt, wav2vec2"
    with pytest.raises(InputError, match=f"must be one of {tasks}, not 'dia"):
        task_of(path)


def test_the_shipped_recipe_holds_a_fifth_of_the_people_out() -> None:
    (source,) = load_keyword_recipe(_SHIPPED).sources
    assert (source.name, source.holdout, source.test_share) == ("speech_commands", "speaker", 0.2)
