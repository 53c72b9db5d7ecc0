"""Constituents as the grammar builds them, before words are read off."""

from typing import NamedTuple, Union

from brainexp.grammar.lexicon import Adjective, Noun, Verb

#: Labels or parts of speech that may head a phrase, best first; the first child stands in otherwise.
HEADS: dict[str, tuple[str, ...]] = {
    "S": ("VP", "S"),
    "SBAR": ("SCONJ", "PRON", "S"),
    "RC": ("S", "VP"),
    "NP": ("NOUN", "PROPN", "PRON", "NUM", "NP"),
    "VP": ("AUX", "VERB", "PART", "VP"),
    "PP": ("ADP",),
    "ADJP": ("ADJ",),
    "ADVP": ("ADV",),
}


class Leaf(NamedTuple):
    """One word with what the grammar knows of it alone."""

    form: str
    lemma: str
    pos: str
    tense: str = "none"
    number: str = "none"
    kind: str = "none"
    animacy: str = "none"
    entity: int = -1
    givenness: str = "none"


class Phrase(NamedTuple):
    """A constituent; a child that is a string is a mark written after the word before it."""

    label: str
    children: tuple[Union["Phrase", Leaf, str], ...]
    role: str = "none"
    construction: str = ""


Child = Phrase | Leaf | str

NOT = Leaf("not", "not", "PART")
TO = Leaf("to", "to", "PART")
THAT = Leaf("that", "that", "SCONJ")
AND = Leaf("and", "and", "CCONJ")
BUT = Leaf("but", "but", "CCONJ")
EXPLETIVE = Phrase("NP", (Leaf("it", "it", "PRON", number="singular"),))
THERE = Phrase("NP", (Leaf("there", "there", "PRON"),))

#: Finite forms of the auxiliaries: (lemma, past, plural) to form.
AUXILIARIES: dict[tuple[str, bool, bool], str] = {
    ("be", True, False): "was",
    ("be", True, True): "were",
    ("be", False, False): "is",
    ("be", False, True): "are",
    ("have", True, False): "had",
    ("have", True, True): "had",
    ("have", False, False): "has",
    ("have", False, True): "have",
    ("do", True, False): "did",
    ("do", True, True): "did",
    ("do", False, False): "does",
    ("do", False, True): "do",
    ("can", True, False): "could",
    ("can", True, True): "could",
    ("can", False, False): "can",
    ("can", False, True): "can",
}


def auxiliary(lemma: str, past: bool, plural: bool) -> Leaf:
    """A finite auxiliary that agrees with its subject."""
    form = AUXILIARIES[lemma, past, plural]
    return Leaf(form, lemma, "AUX", "past" if past else "present", "plural" if plural else "singular")


def unable(past: bool, plural: bool) -> tuple[Leaf, ...]:
    """*Could not*, or *cannot* as one word."""
    if past:
        return (auxiliary("can", True, plural), NOT)
    return (auxiliary("can", False, plural)._replace(form="cannot"),)


def verb(word: Verb, past: bool, plural: bool) -> Leaf:
    """A finite verb that agrees with its subject."""
    if word.lemma in ("be", "have"):
        form = AUXILIARIES[word.lemma, past, plural]
    elif past:
        form = word.past
    else:
        form = word.lemma if plural else word.third
    tense, number = "past" if past else "present", "plural" if plural else "singular"
    return Leaf(form, word.lemma, "VERB", tense, number, word.kind)


def nonfinite(word: Verb, form: str) -> Leaf:
    """A verb as ``infinitive``, ``participle`` or ``gerund``."""
    forms = {"infinitive": word.lemma, "participle": word.participle, "gerund": word.gerund}
    return Leaf(forms[form], word.lemma, "VERB", form, "none", word.kind)


def noun(word: Noun, plural: bool, entity: int = -1, givenness: str = "none") -> Leaf:
    """A noun in one of its numbers."""
    form = word.plural if plural else word.lemma
    number = "plural" if plural else "singular"
    return Leaf(form, word.lemma, "NOUN", "none", number, word.kind, word.animacy, entity, givenness)


def adjective(word: Adjective, entity: int = -1, givenness: str = "none") -> Leaf:
    """An adjective; its kind is its group, such as ``colour``."""
    return Leaf(word.lemma, word.lemma, "ADJ", kind=word.group, entity=entity, givenness=givenness)


def adverb(form: str) -> Phrase:
    """A phrase of adverbs, such as *very slowly*."""
    return Phrase("ADVP", tuple(Leaf(part, SINGULARS.get(part, part), _pos(part)) for part in form.split()))


#: Parts of speech in fixed expressions of time, such as *a few days later*; what is left out is an adverb.
FIXED = {
    "DET": ("the", "a", "all", "that", "any", "no"),
    "NUM": ("one",),
    "NOUN": (
        "day",
        "days",
        "morning",
        "evening",
        "afternoon",
        "night",
        "week",
        "years",
        "moment",
        "time",
        "while",
        "meantime",
        "sudden",
        "hours",
    ),
    "ADJ": ("next", "few", "many", "following", "last", "usual", "little"),
    "ADP": ("in", "of", "upon", "after", "at", "for", "as"),
}
SINGULARS = {"days": "day", "years": "year", "hours": "hour"}


def _pos(part: str) -> str:
    return next((pos for pos, parts in FIXED.items() if part in parts), "ADV")


def preposition(form: str) -> Leaf:
    """A preposition; *next to* and its like are one leaf each word in `prepositional`."""
    return Leaf(form, form, "ADP")


def prepositional(form: str, complement: Phrase, role: str = "none") -> Phrase:
    """A prepositional phrase; the role goes to the noun phrase inside it."""
    return Phrase("PP", (*map(preposition, form.split()), complement._replace(role=role)))


def connective(form: str) -> Phrase:
    """A connective at the front of a sentence: *but* and *and* conjoin, the others are adverbs."""
    pos = "CCONJ" if form in ("but", "and", "so", "yet") else "ADV"
    if pos == "ADV":
        return adverb(form)
    return Phrase("ADVP", (Leaf(form, form, pos),))


def subordinate(form: str, clause: Phrase) -> Phrase:
    """A clause under a subordinating conjunction."""
    return Phrase("SBAR", (Leaf(form, form, "SCONJ"), clause), construction="subordinate")
