"""Scripts that put no space between words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

# Ranges of Unicode's blocks.
_SCRIPTS = {
    "Chinese characters": (
        "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    ),
    "kana": "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001b000-\U0001b16f",
    "bopomofo": "\u3105-\u312f\u31a0-\u31bf",
    "Thai": "\u0e01-\u0e3a\u0e40-\u0e4e",
    "Lao": "\u0e80-\u0eff",
    "Tibetan": "\u0f00-\u0fff",
    "Burmese": "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f",
    "Khmer": "\u1780-\u17ff",
    "Tai Le": "\u1950-\u197f",
    "New Tai Lue": "\u1980-\u19df",
    "Tai Tham": "\u1a20-\u1aaf",
    "Tai Viet": "\uaa80-\uaadf",
    "Balinese": "\u1b00-\u1b7f",
    "Javanese": "\ua980-\ua9df",
    "Yi": "\ua000-\ua4cf",
}
_PATTERNS = {name: re.compile(f"[{ranges}]") for name, ranges in _SCRIPTS.items()}
_ANY = f"[{''.join(_SCRIPTS.values())}]"
_SPACE_WITHIN = re.compile(f"(?<={_ANY}) +(?={_ANY})")


def script_without_spaces(texts: Iterable[str]) -> str:
    """Name of the script without spaces that most letters of ``texts`` are of; empty if none is.

    >>> script_without_spaces(["今日はいい天気です"])
    'kana'
    """
    counts: Counter[str] = Counter()
    others = 0
    for text in texts:
        for character, times in Counter(text).items():
            script = next((n for n, found in _PATTERNS.items() if found.match(character)), "")
            if script:
                counts[script] += times
            elif unicodedata.category(character)[0] == "L":
                others += times
    if counts.total() <= others:
        return ""
    return counts.most_common(1)[0][0]


def without_spaces_within(text: str) -> str:
    """``text`` without the spaces between two characters of such scripts.

    They divide words in some corpora and in others nothing, and nobody hears them.

    >>> without_spaces_within("你 好 hello world")
    '你好 hello world'
    """
    return _SPACE_WITHIN.sub("", text)
