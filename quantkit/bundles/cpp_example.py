"""What the examples in C++ know of a bundle, as a header: they need no reader of JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quantkit.tasks.names import CANARY, MOONSHINE, TRANSDUCER, WHISPER
from quantkit.text.labels import Labels

_BYTE = re.compile("<0x([0-9A-F]{2})>")
_STATE = """\
struct State {
  std::string input, output;
  std::vector<std::int64_t> shape;
  bool is_whole;
};
"""
# Strings of the library would take a compiler minutes for the tokens of a Whisper.
_TOKEN = "struct Token { const char* text; std::size_t size; };  // may have zeros in it\n"
# Tokens that no clip of 40 seconds has.
_NO_LIMIT = 1e6
_READERS = ("predictor", "decoder")


def labels_header(
    labels: Labels,
    sample_rate: int,
    decoding: Mapping[str, Any] | None = None,
    frontend: Mapping[str, Any] | None = None,
) -> str:
    """C++17 that defines tokens, what is not printed of them, their separator and the rate.

    Args:
        decoding: of several graphs, as ``decoding.json`` has it.
        frontend: as ``frontend.json`` has it.
    """
    silent = sorted({labels.blank, *labels.silent} - {-1})
    contents = [_bytes(token) for token in labels.tokens]
    tokens = "".join(f"    {{{_literal(each)}, {len(each)}}},\n" for each in contents)
    constants = [] if decoding is None else [*_of_graphs(decoding, frontend or {})]
    if labels.asg is not None:
        rows = ",\n".join(f"    {_listed(map(repr, row))}" for row in labels.asg.transitions)
        constants.append(f"const std::vector<int> kRepeats = {_listed(labels.asg.repeats)};\n")
        constants.append(f"const std::vector<std::vector<double>> kTransitions = {{\n{rows}}};\n")
    return (
        "// Labels of the model in this bundle, in UTF-8.\n"
        "#pragma once\n\n"
        "#include <cstddef>\n#include <cstdint>\n#include <map>\n#include <string>\n"
        "#include <vector>\n\n"
        f"constexpr std::size_t kSampleRate = {sample_rate};\n"
        f"constexpr int kBlank = {labels.blank};\n"
        f"const std::string kSeparator = {_literal(labels.separator.encode())};\n"
        f"const std::vector<int> kSilent = {_listed(silent)};\n"
        f"{''.join(constants)}"
        f"{_TOKEN}constexpr Token kTokens[] = {{\n{tokens}}};\n"
        f"constexpr std::size_t kTokenCount = {len(labels)};\n"
    )


def _of_graphs(decoding: Mapping[str, Any], frontend: Mapping[str, Any]) -> Iterator[str]:
    graphs: Sequence[Mapping[str, Any]] = decoding["graphs"]
    files = (f"{{{_text(graph['role'])}, {_text(graph['file'])}}}" for graph in graphs)
    yield f"const std::map<std::string, std::string> kGraphs = {_listed(files)};\n"
    kind = decoding["kind"]
    if kind == TRANSDUCER:
        reader = next(graph for graph in graphs if graph["role"] in _READERS)
        yield _STATE
        yield f"const std::vector<State> kStates = {_listed(map(_state, reader['states']))};\n"
        yield f"const std::vector<std::int64_t> kStart = {_listed(decoding['start'])};\n"
        yield f"constexpr std::size_t kDurations = {decoding['durations']};\n"
        yield f"constexpr std::size_t kMostPerFrame = {decoding['most_per_frame']};\n"
    if kind in (MOONSHINE, CANARY, WHISPER):
        yield f"const std::vector<std::int64_t> kPrompt = {_listed(decoding['prompt'])};\n"
        yield f"constexpr int kEnd = {decoding['end']};\n"
        for name, key in (("kSuppressed", "suppressed"), ("kSuppressedFirst", "suppressed_first")):
            yield f"const std::vector<int> {name} = {_listed(decoding[key])};\n"
        yield f"constexpr std::size_t kWindow = {frontend['window']};\n"
    if kind in (MOONSHINE, CANARY):
        yield f"constexpr double kTokensPerSecond = {float(decoding['tokens_per_second'])!r};\n"
        yield f"constexpr double kTokensMore = {float(decoding['tokens_more'])!r};\n"
        longest = decoding.get("longest", _NO_LIMIT)
        yield f"constexpr double kMostTokens = {float(longest)!r};\n"
    if kind == CANARY:
        for name in ("source", "target"):
            yield f"constexpr std::size_t k{name.title()} = {decoding[name]};\n"
    if kind in (CANARY, WHISPER):
        languages = (f"{{{_text(code)}, {token}}}" for code, token in decoding["languages"].items())
        yield f"const std::map<std::string, std::int64_t> kLanguages = {_listed(languages)};\n"
        yield f"const std::string kLanguage = {_text(decoding['language'])};\n"
    if kind == WHISPER:
        yield f"constexpr std::size_t kLongest = {decoding['longest']};\n"
        for name, key in (
            ("kHop", "hop"),
            ("kMelBands", "mel_bands"),
            ("kWindowSeconds", "window_seconds"),
        ):
            yield f"constexpr std::size_t {name} = {frontend[key]};\n"


def _state(state: Mapping[str, Any]) -> str:
    sizes = _listed(1 if size == "batch" else size for size in state["shape"])
    is_whole = "true" if state["type"] == "int64" else "false"
    return f"{{{_text(state['input'])}, {_text(state['output'])}, {sizes}, {is_whole}}}"


def _listed(values: Any) -> str:
    return f"{{{', '.join(map(str, values))}}}"


def _text(content: str) -> str:
    return _literal(content.encode())


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
