"""The labels of a bundle as a header: its example in C++ needs no reader of JSON."""

from __future__ import annotations

import re

from quantkit.text.labels import Labels

_BYTE = re.compile("<0x([0-9A-F]{2})>")


def labels_header(labels: Labels, sample_rate: int) -> str:
    """C++17 that defines tokens, what is not printed of them, their separator and the rate."""
    silent = sorted({labels.blank, *labels.silent})
    tokens = "".join(f"    {_literal(_bytes(token))},\n" for token in labels.tokens)
    return (
        "// Labels of the model in this bundle, in UTF-8.\n"
        "#pragma once\n\n"
        "#include <cstddef>\n#include <string>\n#include <vector>\n\n"
        f"constexpr std::size_t kSampleRate = {sample_rate};\n"
        f"const std::string kSeparator = {_literal(labels.separator.encode())};\n"
        f"const std::vector<int> kSilent = {{{', '.join(map(str, silent))}}};\n"
        f"const std::vector<std::string> kTokens = {{\n{tokens}}};\n"
    )


def _bytes(token: str) -> bytes:
    """UTF-8 of a token; ``<0xE9>`` is a byte."""
    parts = _BYTE.split(token)
    return b"".join(
        bytes.fromhex(part) if number % 2 else part.encode() for number, part in enumerate(parts)
    )


def _literal(content: bytes) -> str:
    """A string of C++. Octal escapes end after three digits, whatever follows."""
    plain = {ord(c) for c in " !#$%&'()*+,-./:;<=>@[]^_`{|}~"}
    shown = (
        chr(byte)
        if byte in plain or (chr(byte).isascii() and chr(byte).isalnum())
        else f"\\{byte:03o}"
        for byte in content
    )
    return f'"{"".join(shown)}"'
