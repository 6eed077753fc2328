"""Labels that stand for bytes of UTF-8, written ``<0xE9>`` as SentencePiece does.

Tokenizers that cut text into bytes spell them in printable characters; both spellings are
translated when their files are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_BYTES = re.compile(r"(?:<0x[0-9A-Fa-f]{2}>)+")


def holds_bytes(token: str) -> bool:
    """Whether a label stands for a byte, or has one in it."""
    return _BYTE.search(token) is not None


def bytes_of(token: str) -> bytes:
    """What a label adds to a text in UTF-8.

    >>> bytes_of("caf<0xC3>")
    b'caf\\xc3'
    """
    parts = _BYTE.split(token)
    return b"".join(
        bytes.fromhex(part) if at % 2 else part.encode("utf-8", "surrogatepass")
        for at, part in enumerate(parts)
    )


def with_bytes_read(text: str) -> str:
    """``text`` with every run of bytes as the characters that they are.

    >>> with_bytes_read("caf<0xC3><0xA9>")
    'café'
    """

    def read(run: re.Match[str]) -> str:
        return bytes_of(run[0]).decode("utf-8", "replace")

    return _BYTES.sub(read, text)


def spelled(content: bytes) -> str:
    """Bytes as a label: characters where they are whole, ``<0xNN>`` where they are not.

    >>> spelled(b"caf\\xc3")
    'caf<0xC3>'
    """
    parts = []
    while content:
        try:
            parts.append(content.decode("utf-8"))
            break
        except UnicodeDecodeError as error:
            parts.append(content[: error.start].decode("utf-8"))
            odd = content[error.start : error.end]
            parts += [f"<0x{byte:02X}>" for byte in odd]
            content = content[error.end :]
    return "".join(parts)


def from_alphabet(token: str, alphabet: Mapping[str, int]) -> str:
    """A label that is spelled in an alphabet of 256 characters for bytes.

    Raises:
        KeyError: another character.
    """
    return spelled(bytes(alphabet[character] for character in token))


@lru_cache
def gpt2_alphabet() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable ones as they are, others from U+0100 on.

    Radford et al., "Language Models are Unsupervised Multitask Learners", 2019; ``Ġ`` is a space.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    spelling = {chr(byte): byte for byte in printable}
    return spelling | {chr(0x100 + index): byte for index, byte in enumerate(others)}


@lru_cache
def icefall_alphabet() -> dict[str, int]:
    """The spelling of icefall's byte-level pieces: ASCII as it is, others from U+0100 on.

    Characters that Unicode's compatibility forms change are passed over.
    """
    passed_over = {306, 307, 319, 320, 329, 383}
    others = iter(code for code in range(0x100, 0x200) if code not in passed_over)
    return {chr(byte) if 0x20 <= byte < 0x7F else chr(next(others)): byte for byte in range(256)}
