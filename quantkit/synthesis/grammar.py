"""A small generative grammar of English: noun phrases, clauses, questions, remarks.

It only has to be plausible: common words in common orders, in the style of old novels and of
everyday speech. The sentences need no meaning.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from quantkit.synthesis import vocabulary as v
from quantkit.synthesis.inflection import (
    past,
    past_participle,
    plural,
    present_participle,
    third_person,
)

_NOUN_GROUPS = (v.PEOPLE, v.ANIMALS, v.THINGS, v.PLACES, v.ABSTRACT, v.IDEAS, v.BODY, v.MASS)
_COUNTABLE = (v.PEOPLE, v.ANIMALS, v.THINGS, v.THINGS, v.PLACES, v.IDEAS, v.IDEAS, v.BODY)
_UNCOUNTABLE = (v.MASS, v.ABSTRACT)
_PRONOUNS = ("i", "you", "he", "she", "it", "we", "they", "he", "she", "i")
_OBJECTS = ("me", "you", "him", "her", "it", "us", "them", "nothing", "everything", "himself")
_ASIDES = (
    "i don't know", "i can't say", "it doesn't matter", "that's all", "i'm sure of it",
    "what a pity", "never mind", "you're quite right", "there's no help for it", "let us go",
    "that's not true", "he's gone", "she's here", "i've seen it", "we'll see", "they're coming",
    "it's no use", "i'd rather not", "you'll be late", "isn't it", "wasn't he", "don't be afraid",
    "how do you do", "good morning", "good night", "thank you", "excuse me", "very well then",
    "come in", "sit down", "wait a minute", "who's there", "what's the matter", "i'll be back",
    "turn it on", "turn it off", "go away", "hurry up", "look here", "not at all", "all right",
)  # fmt: skip


class Grammar:
    """Draws phrases and clauses from a random stream; the same stream gives the same text."""

    def __init__(self, rng: random.Random) -> None:
        """Draw from ``rng``."""
        self.rng = rng

    def maybe(self, probability: float) -> bool:
        """True with this probability."""
        return self.rng.random() < probability

    def pick(self, options: Sequence[str]) -> str:
        """One of ``options``, each as likely."""
        return self.rng.choice(options)

    def any_word(self) -> str:
        """One word of any class in any form."""
        roll = self.rng.random()
        if roll < 0.30:
            noun = self.pick(self.rng.choice(_NOUN_GROUPS))
            return noun if self.maybe(0.7) else plural(noun)
        if roll < 0.60:
            verb = self.pick(self.rng.choice((v.GO, v.STAY, v.ACT, v.AFFECT, v.SAY, v.TRY)))
            forms = (str, past, third_person, past_participle, present_participle)
            return self.rng.choice(forms)(verb)
        groups = (v.ADJECTIVES, v.ADJECTIVES, v.ADVERBS, v.PREDICATES, v.DEGREES, v.RELATIONS,
                  v.CONJUNCTIONS, v.NUMBERS, v.MEN, v.WOMEN, v.SURNAMES)  # fmt: skip
        return self.pick(self.rng.choice(groups))

    # Nouns

    def adjectives(self) -> list[str]:
        """None, one or two adjectives."""
        roll = self.rng.random()
        if roll < 0.5:
            return []
        first = self.pick(v.ADJECTIVES)
        if roll < 0.85:
            return [first]
        if roll < 0.93:
            return [self.pick(v.DEGREES[:6]), first]
        second = self.pick(v.ADJECTIVES)
        return [first, "and", second] if self.maybe(0.5) else [first, second]

    def number(self) -> str:
        """A number in words."""
        roll = self.rng.random()
        if roll < 0.7:
            return self.pick(v.NUMBERS[1:])
        tens, ones = self.pick(v.NUMBERS[19:]), self.pick(v.NUMBERS[:9])
        return f"{tens} {ones}" if roll < 0.85 else f"{ones} hundred and {tens} {ones}"

    def noun_phrase(self, depth: int = 0) -> tuple[str, bool]:
        """A noun phrase and whether it is plural."""
        roll = self.rng.random()
        if roll < 0.10:
            return self.person_name(), False
        if roll < 0.20:
            noun = self.pick(self.rng.choice(_UNCOUNTABLE))
            start = self.rng.choice(([], [], ["the"], ["his"], ["all", "the"], ["much"]))
            return " ".join([*start, *self.adjectives(), noun]), False
        noun = self.pick(self.rng.choice(_COUNTABLE))
        if roll < 0.72:
            determiner, number, is_plural = self.pick(v.DETERMINERS), noun, False
        elif roll < 0.94:
            determiner, number, is_plural = self.pick(v.PLURAL_DETERMINERS), plural(noun), True
        else:
            determiner, number, is_plural = self.number(), plural(noun), True
        if roll < 0.24:
            determiner = self.owner()
        words = [determiner, *self.adjectives(), number]
        if determiner in ("a", "such a") and words[1][0] in "aeiou":
            words[0] += "n"
        if depth == 0 and self.maybe(0.14):
            words += ["of", self.noun_phrase(depth + 1)[0]]
        elif depth == 0 and self.maybe(0.06):
            words += ["who" if noun in v.PEOPLE else "which", self.predicate(is_plural, depth + 1)]
        return " ".join(words), is_plural

    def owner(self) -> str:
        """A possessive, such as ``the farmer's``."""
        if self.maybe(0.5):
            return f"{self.pick(v.MEN + v.WOMEN)}'s"
        return f"the {self.pick(v.PEOPLE)}'s"

    def person_name(self) -> str:
        """A name, perhaps with a title."""
        surname = self.pick(v.SURNAMES)
        kind = self.rng.randrange(6)
        if kind == 0:
            return f"{self.pick(('mister', 'doctor', 'captain', 'sir', 'lord', 'old'))} {surname}"
        if kind == 1:
            return f"{self.pick(('miss', 'lady', 'madam', 'little', 'poor'))} {self.pick(v.WOMEN)}"
        if kind == 2:
            return f"{self.pick(v.MEN)} {surname}"
        if kind == 3:
            return f"{self.pick(v.WOMEN)} {surname}"
        return self.pick(v.MEN if kind == 4 else v.WOMEN)

    def subject(self) -> tuple[str, bool]:
        """A subject and whether its verb has no third-person ending."""
        if self.maybe(0.45):
            pronoun = self.pick(_PRONOUNS)
            return pronoun, pronoun in ("i", "you", "we", "they")
        return self.noun_phrase()

    def object(self, depth: int = 0) -> str:
        """A pronoun or noun phrase that follows a verb."""
        return self.pick(_OBJECTS) if self.maybe(0.2) else self.noun_phrase(depth)[0]

    def where(self) -> str:
        """A place with its preposition."""
        relation = self.pick(v.RELATIONS)
        if self.maybe(0.12):
            return f"{self.pick(('in', 'to', 'from', 'near', 'at'))} {self.pick(v.NAMED_PLACES)}"
        place = self.pick(v.PLACES if self.maybe(0.7) else v.THINGS)
        determiner = self.pick(("the", "the", "the", "his", "my", "our", "this", "that", "their"))
        return " ".join([relation, determiner, *self.adjectives(), place])

    # Clauses

    def verb(self, base: str, plural_subject: bool) -> str:
        """A finite form of a verb: mostly past tense, as in novels."""
        roll = self.rng.random()
        if roll < 0.6:
            return past(base)
        if roll < 0.7:
            return f"had {past_participle(base)}"
        if roll < 0.85:
            return f"{self.pick(v.MODALS)} {base}"
        if roll < 0.9:
            return f"{'were' if plural_subject else 'was'} {present_participle(base)}"
        return base if plural_subject else third_person(base)

    def predicate(self, plural_subject: bool, depth: int = 0) -> str:
        """Everything after the subject."""
        roll = self.rng.random()
        adverb = [self.pick(v.ADVERBS)] if self.maybe(0.2) else []
        if roll < 0.25:
            words = [self.verb(self.pick(v.GO), plural_subject), *adverb, self.where()]
        elif roll < 0.36:
            words = [self.verb(self.pick(v.STAY), plural_subject), *adverb]
            words += [self.where()] if self.maybe(0.6) else []
        elif roll < 0.64:
            words = [*adverb, self.verb(self.pick(v.ACT), plural_subject), self.object(depth)]
            words += [self.where()] if self.maybe(0.25) else []
        elif roll < 0.72:
            person = self.pick(("me", "him", "her", "them", "us", self.owner() + " friend"))
            words = [*adverb, self.verb(self.pick(v.AFFECT), plural_subject), person]
        elif roll < 0.82:
            words = [past(self.pick(v.TRY)), "to", self.pick(v.ACT), self.object(depth)]
        elif roll < 0.92 or depth:
            be = self.pick(("were", "are") if plural_subject else ("was", "is", "was not"))
            kind = self.pick(v.PREDICATES if self.maybe(0.3) else v.ADJECTIVES)
            words = [be, *([self.pick(v.DEGREES)] if self.maybe(0.4) else []), kind]
        else:
            words = [past(self.pick(v.SAY)), *(["that"] if self.maybe(0.5) else []), self.clause(1)]
        return " ".join(words)

    def clause(self, depth: int = 0) -> str:
        """Subject and predicate, perhaps with an opener and a time."""
        subject, is_plural = self.subject()
        words = [subject, self.predicate(is_plural, depth)]
        if not depth and self.maybe(0.12):
            words.insert(0, self.pick(v.OPENERS))
        if not depth and self.maybe(0.18):
            words.append(self.pick(v.TIMES))
        return " ".join(words)

    def question(self) -> str:
        """A question with a helping verb."""
        asker = self.pick(("why", "how", "when", "where", "what", "but why", "and how"))
        helper = self.pick(("do", "did", "can", "could", "will", "should", "must", "would"))
        person = self.pick(("you", "they", "we", "i", "the " + self.pick(v.PEOPLE)))
        start = [asker, helper, person] if self.maybe(0.6) else [helper, person]
        return " ".join([*start, self.pick(v.ACT), self.object()])

    def remark(self) -> str:
        """Dialogue: a short saying, sometimes with its speaker."""
        said = self.pick(_ASIDES)
        if self.maybe(0.5):
            return said
        return f"{said} {self.pick(('said', 'cried', 'asked', 'replied'))} {self.person_name()}"

    def existence(self) -> str:
        """There was something somewhere."""
        phrase, is_plural = self.noun_phrase()
        be = self.pick(("were", "are") if is_plural else ("was", "is", "must be"))
        return f"there {be} {phrase} {self.where()}"

    def command(self) -> str:
        """An order or a request."""
        start = self.pick(("please", "do not", "don't", "let us", "now", "come and", ""))
        return f"{start} {self.pick(v.ACT)} {self.object()}".strip()

    def fragment(self) -> str:
        """A phrase without a finite verb, or a saying."""
        makers: tuple[Callable[[], str], ...] = (
            lambda: self.noun_phrase()[0],
            lambda: self.noun_phrase()[0],
            self.where,
            self.person_name,
            lambda: self.pick(_ASIDES),
            lambda: self.pick(v.TIMES),
            lambda: f"{self.pick(v.DEGREES)} {self.pick(v.ADJECTIVES)}",
            lambda: f"{self.pick(_PRONOUNS[:-1])} {past(self.pick(v.ACT))} {self.object(1)}",
            lambda: f"to {self.pick(v.ACT)} {self.object(1)}",
            self.command,
            self.number,
        )
        return self.rng.choice(makers)()

    def sentence(self) -> str:
        """One main clause of any kind."""
        roll = self.rng.random()
        if roll < 0.70:
            return self.clause()
        if roll < 0.78:
            return self.question()
        if roll < 0.86:
            return self.remark()
        return self.existence() if roll < 0.95 else self.command()
