"""Damage to bytes and to text, of the kinds that disks, transfers and editors do."""

from __future__ import annotations

from random import Random


def damaged(content: bytes, random: Random) -> bytes:
    """``content`` with one to three kinds of damage; it may come out the same."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = random.choice(_WAYS)(content, random)
    return content


def _flip_bits(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64)) if changed else 0):
        changed[_place(changed, random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _set_bytes(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 4)) if changed else 0):
        changed[_place(changed, random)] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(changed)


def _truncate(content: bytes, random: Random) -> bytes:
    return content[: random.choice((random.randint(0, len(content)), max(0, len(content) - 1)))]


def _behead(content: bytes, random: Random) -> bytes:
    return content[random.randint(0, min(len(content), 64)) :]


def _append(content: bytes, random: Random) -> bytes:
    more = random.choice((b"\0", b"\n", random.randbytes(random.randint(1, 300)), b"\0" * 4096))
    return content + more


def _remove(content: bytes, random: Random) -> bytes:
    start = random.randint(0, len(content))
    return content[:start] + content[start + random.choice((1, 2, 16, 1000)) :]


def _insert(content: bytes, random: Random) -> bytes:
    start = random.randint(0, len(content))
    return content[:start] + random.randbytes(random.choice((1, 4, 100))) + content[start:]


def _repeat(content: bytes, random: Random) -> bytes:
    start = random.randint(0, len(content))
    return content[:start] + content[start : start + random.choice((4, 100))] + content[start:]


def _zero(content: bytes, random: Random) -> bytes:
    start = random.randint(0, len(content))
    block = content[start : start + random.choice((4, 512, 4096))]
    return content[:start] + bytes(len(block)) + content[start + len(block) :]


def _swap(content: bytes, random: Random) -> bytes:
    middle = random.randint(0, len(content))
    return content[middle:] + content[:middle]


def _place(content: bytearray, random: Random) -> int:
    """An index: headers decide more than what follows them."""
    return random.randrange(min(len(content), random.choice((64, 1024, len(content)))))


_WAYS = (
    *(_flip_bits, _flip_bits, _set_bytes, _truncate, _behead, _append),
    *(_remove, _insert, _repeat, _zero, _swap),
)

#: Texts that are odd in a name, a label or a value.
ODD_TEXTS = (
    *("", " ", "\t", "\n", "a\nb", "a\x00b", "\x1b[31m", "[/red]", "../../x", "/", "C:\\x", "é"),
    *("e\u0301", "🎤", "\u202e", "\ufeff", "x" * 10_000, "%s", "{0}", "None", "nan", "-1", "1e999"),
    *(
        "\ud800",
        "٣",
        "ß",
        "İ",
        "\u2028",
        "‘’",
        "<blank>",
        "<unk>",
        "|",
        "#",
        '"',
        "'",
        ",",
        "=",
        "\\",
    ),
)

#: Numbers that are odd as a size, a count or a share.
ODD_NUMBERS: tuple[object, ...] = (
    *(0, -0.0, 1, -1, 2, 7, 0.5, 1.5, 127, 255, 256, 65_536, 2**31 - 1, 2**31, 2**32, 2**53 + 1),
    *(2**63 - 1, 2**63, 2**64, 10**30, -(2**63) - 1, 1e-320, 1e-9, -1e-9, 1e308, -1e308, 1e15),
    *(float("nan"), float("inf"), float("-inf")),
)
