"""Tables of the users of a fleet: spelled differently they are the same, and each row is a user."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

from benchmarks.fuzz.case import Answer, Case, Refused, WrongResult, attempt, command
from benchmarks.fuzz.damage import ODD_TEXTS, damaged
from benchmarks.fuzz.models import write_models
from quantkit.audio.selection import Selection
from quantkit.errors import InputError
from quantkit.fleets.users import FleetUser, chosen_users, read_users

_HEADER = ("user", "audio", "language", "split", "note")
_USERS = (
    ("ann", "recordings/ann", "en", "calibration", "the first"),
    ("ben", "s3://voices/ben", "de", "", ""),
    ("Çem Ö.", "clips/cem.wav", "", "train", "says “yes”"),
    ("dora", "/data/dora", "en", "", ""),
)
# Of the cases, those in which a command reads the table, too.
_COMMANDS = 0.02


class UserTables:
    """users.tsv and users.csv."""

    name, share = "users", 40

    def prepare(self, seeds: Path) -> None:
        if not (seeds / "model.onnx").exists():
            write_models(seeds)

    def run(self, case: Case) -> Answer:
        suffix = case.random.choice((".tsv", ".csv"))
        table = case.folder / f"users{suffix}"
        plain = [list(_HEADER), *map(list, _USERS)]
        table.write_bytes(_written(plain, suffix, "\n").encode())
        expected = read_users(str(table)).users
        is_same = case.random.random() < 0.3
        if is_same:
            table.write_bytes(_respelled(plain, suffix, case))
        elif case.random.random() < 0.6:
            table.write_bytes(_changed(plain, suffix, case))
        else:
            table.write_bytes(damaged(table.read_bytes(), case.random))
        try:
            users = attempt(lambda: read_users(str(table))).users
        except Refused as refusal:
            if is_same:
                raise WrongResult(f"it says the same, and is refused: {refusal}") from None
            raise
        if is_same and users != expected:
            raise WrongResult(f"it says the same, and reads {users}")
        _require_usable(users)
        if case.random.random() < _COMMANDS:
            command(
                *("fleet", table, "--model", case.seeds / "model.onnx", "--budgets", "1MB"),
                *("-o", case.folder / "out", "--dry-run"),
            )
        return "right"


def _require_usable(users: tuple[FleetUser, ...]) -> None:
    names = [user.name for user in users]
    for user in users:
        if not user.name.strip() or user.name != user.name.strip():
            raise WrongResult(f"a user is called {user.name!r}")
        if not user.audio and not user.problem:
            raise WrongResult(f"user {user.name!r} has no audio, and no problem")
        if names.count(user.name) > 1 and not user.problem:
            raise WrongResult(f"two users are called {user.name!r}")
        found = attempt(partial(chosen_users, users, [user.name]))
        if any(each.name != user.name for each in found):
            raise WrongResult(f"asked for {user.name!r}, and got {found}")
        try:
            user.narrowed(Selection())
        except InputError:
            # A gender that there is not is told of the user alone.
            continue


def _written(rows: list[list[str]], suffix: str, end: str) -> str:
    if suffix == ".tsv":
        return "".join("\t".join(row) + end for row in rows)
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=end).writerows(rows)
    return stream.getvalue()


def _respelled(rows: list[list[str]], suffix: str, case: Case) -> bytes:
    """With other line ends, columns in another order, one more of them, or a byte-order mark."""
    random = case.random
    order = random.sample(range(len(_HEADER)), len(_HEADER))
    rows = [[row[place] for place in order] for row in rows]
    if random.random() < 0.3:
        # Other programs end lines at such characters; in a table they are part of a cell.
        odd = random.choice(("more", "\u2028", "a\x0bb", "a\x85b", "\x1c", "é"))
        rows = [[*rows[0], "remark"], *([*row, odd] for row in rows[1:])]
    text = _written(rows, suffix, random.choice(("\n", "\r\n")))
    if random.random() < 0.3:
        text = text.rstrip("\r\n")
    if random.random() < 0.3:
        text += random.choice(("\n", "\n\n", "\r\n"))
    return (b"\xef\xbb\xbf" if random.random() < 0.3 else b"") + text.encode()


def _changed(rows: list[list[str]], suffix: str, case: Case) -> bytes:
    random = case.random
    rows = [[*row] for row in rows]
    for _ in range(random.choice((1, 1, 2))):
        row = random.choice(rows)
        way = random.randrange(6)
        if way <= 1:
            row[random.randrange(len(row))] = random.choice(ODD_TEXTS)
        elif way == 2:
            rows.append([*row])
        elif way == 3:
            del row[random.randrange(len(row))]
            row = row or [""]
        elif way == 4:
            row.append(random.choice(ODD_TEXTS))
        else:
            random.shuffle(rows)
        rows = [each for each in rows if each] or [[""]]
    return _written(rows, suffix, "\n").encode("utf-8", "surrogatepass")
