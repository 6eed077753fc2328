"""The licence of the weights, not that of the code around them."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.bundles.licences import licence_in, licence_text
from quantkit.errors import InputError

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("apache 2.0", "Apache-2.0"),
        ("  Apache License\n  Version 2.0, January 2004", "Apache-2.0"),
        ("MIT", "MIT"),
        ("MIT License\n\nPermission is hereby granted, free of charge, to any", "MIT"),
        ("cc-by-4.0", "CC-BY-4.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("cc-by-nc-nd-4.0", "CC-BY-NC-ND-4.0"),
        ("cc-by-nc-sa-3.0", "CC-BY-NC-SA-3.0"),
        ("Attribution-NonCommercial-ShareAlike 4.0 International", "CC-BY-NC-SA-4.0"),
        ("Creative Commons Attribution 4.0 International", "CC-BY-4.0"),
        ("CC0 1.0 Universal", "CC0-1.0"),
        ("cc0-1.0", "CC0-1.0"),
        ("Redistribution and use in source and binary forms", "BSD-2-Clause"),
        ("Redistribution and use in source and binary forms\nNeither the name of", "BSD-3-Clause"),
        ("GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007", "GPL-3.0"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE Version 3", "AGPL-3.0"),
        ("openrail", "OpenRAIL"),
        ("under the terms of our contract", ""),
    ],
)
def test_the_usual_licences_are_known_by_name_and_by_text(text: str, name: str) -> None:
    assert licence_in(text) == name


def test_the_first_licence_is_that_of_the_weights() -> None:
    """Behind it stand those of the corpora."""
    card = (REPOSITORY / "models/wav2letter-en/LICENCE").read_text(encoding="utf-8")
    assert licence_in(card) == "CC-BY-SA-4.0"
    assert licence_in((REPOSITORY / "LICENSE").read_text(encoding="utf-8")) == "Apache-2.0"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_metadata_win(model: Path) -> None:
    assert licence_text(model, "CC-BY-SA-4.0", "") == "Licence of this model: CC-BY-SA-4.0\n"


@pytest.mark.parametrize(
    ("beside", "why"),
    [
        ("Apache License\nVersion 2.0", "holds Apache-2.0"),
        ("as our contract says", "is not known to be its text"),
    ],
)
def test_a_mismatch_stops_and_names_the_way_out(model: Path, beside: str, why: str) -> None:
    (model.parent / "LICENSE").write_text(beside)
    with pytest.raises(InputError, match=f"{why}: decide with --licence CC-BY-SA-4.0 for") as error:
        licence_text(model, "CC-BY-SA-4.0", "")
    assert "\n" not in str(error.value)
    assert "CC-BY-SA-4.0" in licence_text(model, "CC-BY-SA-4.0", "cc-by-sa-4.0")
    chosen = licence_text(model, "CC-BY-SA-4.0", str(model.parent / "LICENSE"))
    assert chosen == beside


def test_a_licence_of_its_own_is_known_by_its_name(model: Path) -> None:
    (model.parent / "LICENCE").write_text("The House Licence\nDo as you like.")
    assert licence_text(model, "house licence", "").endswith("Do as you like.")


def test_a_text_beside_serves_where_metadata_say_nothing(model: Path) -> None:
    (model.parent / "LICENSE.md").write_text("MIT")
    assert licence_text(model, "", "") == "MIT"


def test_a_file_that_is_missing_is_no_licence(model: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        licence_text(model, "CC-BY-SA-4.0", "MY-LICENCE")
    with pytest.raises(InputError, match=r"no licence of .* is known"):
        licence_text(model, "", "")
