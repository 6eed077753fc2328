"""Which texts name something on the hub."""

from __future__ import annotations

import pytest

from quantkit.errors import InputError
from quantkit.publishing import HubAddress, hub_address


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        ("hf://acme/tiny-en", "acme/tiny-en", ""),
        ("hf://acme/tiny.en_2@v1.0", "acme/tiny.en_2", "v1.0"),
        ("hf://a/b@refs/pr/3", "a/b", "refs/pr/3"),
    ],
)
def test_addresses(text: str, repository: str, revision: str) -> None:
    assert hub_address(text) == HubAddress(repository, revision)
    assert str(hub_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "acme/tiny", "hf://acme", "hf://acme/", "hf:///tiny", "hf://acme/tiny/more", "hf://a/b@",
        "hf://a/../b", "hf://a/b@../../etc", "https://huggingface.co/a/b",
        "hf://a/b c", "hf://a/b@x y", "hf://-a/b", "hf://a/b--c", "hf://a/" + 100 * "b", "", "hf://ä/b",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(InputError, match="is no address on the hub"):
        hub_address(text)
