"""English word forms: plurals, third person, past tense, participles.

Only the spelling rules and exceptions that our own vocabulary needs.
"""

from __future__ import annotations

_VOWELS = "aeiou"


def _entries(text: str) -> list[list[str]]:
    """The forms of each word in a table such as ``man/men foot/feet``."""
    return [entry.split("/") for entry in text.split()]


_PLURALS: dict[str, str] = dict(
    _entries("""
man/men woman/women child/children gentleman/gentlemen coachman/coachmen footman/footmen
fisherman/fishermen policeman/policemen tooth/teeth foot/feet goose/geese mouse/mice ox/oxen
wife/wives knife/knives life/lives leaf/leaves loaf/loaves shelf/shelves wolf/wolves calf/calves
thief/thieves sheep/sheep deer/deer fish/fish trout/trout salmon/salmon person/people hero/heroes
potato/potatoes echo/echoes volcano/volcanoes photo/photos crossroads/crossroads lady/ladies
""")
)

_IRREGULAR: dict[str, tuple[str, str]] = {
    base: (past_form, participle)
    for base, past_form, participle in _entries("""
run/ran/run ride/rode/ridden creep/crept/crept fall/fell/fallen leap/leapt/leapt fly/flew/flown
swim/swam/swum drive/drove/driven go/went/gone come/came/come slide/slid/slid sink/sank/sunk
rise/rose/risen withdraw/withdrew/withdrawn flee/fled/fled sit/sat/sat stand/stood/stood
lie/lay/lain sleep/slept/slept sing/sang/sung dream/dreamt/dreamt weep/wept/wept wake/woke/woken
kneel/knelt/knelt lean/leant/leant fight/fought/fought swear/swore/sworn hide/hid/hidden
dwell/dwelt/dwelt see/saw/seen hear/heard/heard find/found/found lose/lost/lost take/took/taken
bring/brought/brought hold/held/held keep/kept/kept leave/left/left give/gave/given lend/lent/lent
sell/sold/sold buy/bought/bought steal/stole/stolen make/made/made build/built/built
break/broke/broken cut/cut/cut burn/burnt/burnt throw/threw/thrown catch/caught/caught
shut/shut/shut draw/drew/drawn write/wrote/written read/read/read show/showed/shown send/sent/sent
choose/chose/chosen strike/struck/struck shake/shook/shaken bind/bound/bound hang/hung/hung
tear/tore/torn split/split/split lead/led/led meet/met/met forget/forgot/forgotten win/won/won
eat/ate/eaten drink/drank/drunk smell/smelt/smelt grind/ground/ground sweep/swept/swept
understand/understood/understood teach/taught/taught forgive/forgave/forgiven beat/beat/beaten
hurt/hurt/hurt know/knew/known pay/paid/paid say/said/said think/thought/thought feel/felt/felt
begin/began/begun mean/meant/meant spoil/spoilt/spoilt learn/learnt/learnt
""")
}

# Verbs of more than one syllable do not double their last letter; these do.
_DOUBLING = frozenset(("admit", "travel", "quarrel", "prefer"))


def _ends_in_consonant_y(word: str) -> bool:
    return word.endswith("y") and len(word) > 1 and word[-2] not in _VOWELS


def _with_s(word: str) -> str:
    if _ends_in_consonant_y(word):
        return word[:-1] + "ies"
    if word.endswith(("s", "x", "z", "ch", "sh")) or word in ("go", "do"):
        return word + "es"
    return word + "s"


def _doubles(word: str) -> bool:
    if word in _DOUBLING:
        return True
    vowels = sum(letter in _VOWELS for letter in word)
    short = len(word) >= 3 and word[-1] not in "aeiouwxy" and word[-2] in _VOWELS
    return short and vowels == 1 and word[-3] not in _VOWELS


def plural(noun: str) -> str:
    """Plural of a noun, such as ``box`` → ``boxes``."""
    return _PLURALS.get(noun) or _with_s(noun)


def third_person(verb: str) -> str:
    """Present tense of he, she, it, such as ``carry`` → ``carries``."""
    return _with_s(verb)


def past(verb: str) -> str:
    """Simple past, such as ``stop`` → ``stopped`` and ``go`` → ``went``."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb][0]
    if verb.endswith("e"):
        return verb + "d"
    if _ends_in_consonant_y(verb):
        return verb[:-1] + "ied"
    return verb + (verb[-1] if _doubles(verb) else "") + "ed"


def past_participle(verb: str) -> str:
    """Past participle, such as ``write`` → ``written``."""
    return _IRREGULAR[verb][1] if verb in _IRREGULAR else past(verb)


def present_participle(verb: str) -> str:
    """Present participle, such as ``lie`` → ``lying`` and ``run`` → ``running``."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    return verb + (verb[-1] if _doubles(verb) else "") + "ing"
