"""Who is in a fleet, and which rows of a table cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.audio.selection import Selection
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import InputError
from quantkit.fleets.users import FleetUser, chosen_users, read_users, users_by


def table(folder: Path, text: str, name: str = "users.tsv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_row_is_a_user_and_paths_start_at_the_table(tmp_path: Path) -> None:
    found = read_users(
        table(tmp_path, "user\taudio\tlanguage\tplan\nann\ta b\ten\tgold\nben\ts3://x/ben\t\t\n")
    )
    assert found.users == (
        FleetUser("ann", str(tmp_path / "a b"), language="en"),
        FleetUser("ben", "s3://x/ben"),
    )
    assert found.ignored == ("plan",)


def test_commas_and_quotes_are_read_from_csv(tmp_path: Path) -> None:
    found = read_users(table(tmp_path, 'user,audio\n"Doe, Ann",/audio/ann\n', "users.csv"))
    assert found.users == (FleetUser("Doe, Ann", "/audio/ann"),)


@pytest.mark.parametrize("odd", ["a\u2028b", "a\x0bb", "a\x85b", "a\x1cb"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_end_at_newlines_alone(tmp_path: Path, odd: str, end: str) -> None:
    path = tmp_path / "users.tsv"
    path.write_bytes(f"user\taudio{end}{odd}\tx{end}{end}ben\ty{end}".encode())
    found = read_users(str(path)).users
    assert [user.name for user in found] == [odd, "ben"]


@pytest.mark.parametrize("name", ["users.tsv", "users.csv"])
def test_a_nul_byte_is_told_with_its_line(tmp_path: Path, name: str) -> None:
    text = "user\taudio\nann\ta\0\n".replace("\t", "," if name.endswith("csv") else "\t")
    with pytest.raises(InputError, match=r"line 2: holds a NUL byte"):
        read_users(table(tmp_path, text, name))


def test_of_two_rows_of_one_name_neither_is_taken_and_others_are(tmp_path: Path) -> None:
    found = read_users(table(tmp_path, "user\taudio\nann\ta\nben\tb\nann\tc\ncem\t\n"))
    problems = {(user.name, user.problem) for user in found.users}
    assert problems == {
        ("ann", "the name stands in lines 2 and 4"),
        ("ben", ""),
        ("cem", "no audio is named"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("user\taudio\n", "names no user"),
        ("name\taudio\nann\ta\n", "no column user"),
        ("user\taudio\tuser\nann\ta\tb\n", "two columns user"),
        ("user\taudio\nann\n", "line 2: 1 fields"),
        ("user\taudio\n\ta\n", "line 2: the user has no name"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_users(table(tmp_path, text))


def test_a_table_of_other_bytes_or_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "users.tsv").write_bytes(b"user\taudio\nb\xff\ta\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_users(str(tmp_path / "users.tsv"))
    with pytest.raises(InputError, match="cannot read"):
        read_users(str(tmp_path / "nothing.tsv"))


def test_speakers_of_a_corpus_are_users() -> None:
    corpus = Corpus("demo", tuple(Utterance(Path(n), speaker=n) for n in ("b", "a", "b", "")))
    found = users_by(corpus, "demo", "speaker")
    assert [user.name for user in found.users] == ["a", "b"]
    assert found.users[0].narrowed(Selection(clips=3)) == Selection(clips=3, speaker="a")
    with pytest.raises(InputError, match="says its language"):
        users_by(corpus, "demo", "language")


def test_some_users_are_taken_by_name() -> None:
    users = (FleetUser("ann", "a"), FleetUser("ben", "b"))
    assert chosen_users(users, ()) == users
    assert chosen_users(users, ("ben",)) == users[1:]
    with pytest.raises(InputError, match="no user bob"):
        chosen_users(users, ("bob",))
