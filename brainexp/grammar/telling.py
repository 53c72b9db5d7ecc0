"""Small clauses and fronted connectives that every kind of passage uses."""

from collections.abc import Iterator
from typing import NamedTuple

from brainexp.grammar.cast import Referent, World
from brainexp.grammar.events import Event, fill
from brainexp.grammar.lexicon import Adjective
from brainexp.grammar.phrase import (
    AND,
    NOT,
    TO,
    Child,
    Leaf,
    Phrase,
    adjective,
    adverb,
    auxiliary,
    connective,
    nonfinite,
    verb,
)
from brainexp.grammar.reference import SUBJECT, refer

#: How a sentence may continue the one before; `start` opens a scene.
RELATIONS = ("start", "background", "elaboration", "sequence", "cause", "result", "contrast", "inference")


class Plan(NamedTuple):
    """A sentence to be: its tree, how it continues the one before, the mark at its end."""

    tree: Phrase
    relation: str
    mark: str = "."


Passage = Iterator[Plan]

#: Connectives by relation, with the mark after each.
CONNECTIVES: dict[str, tuple[tuple[str, str], ...]] = {
    "sequence": (
        ("then", ""),
        ("next", ","),
        ("after that", ","),
        ("soon", ""),
        ("a little later", ","),
        ("then", ""),
        ("afterwards", ","),
        ("at last", ","),
    ),
    "result": (("so", ""), ("so", ""), ("therefore", ","), ("that is why", "")),
    "contrast": (("but", ""), ("but", ""), ("however", ","), ("yet", "")),
    "inference": (("so", ""), ("therefore", ",")),
}


def continued(world: World, relation: str, clause: Phrase) -> Plan:
    """A clause behind a connective of its relation; with *that is why* it becomes subordinate."""
    form, mark = world.draws.pick(CONNECTIVES[relation])
    if form == "that is why":
        return Plan(_that_is_why(world, clause), relation)
    return Plan(fronted(connective(form), mark, clause), relation)


def fronted(front: Phrase, mark: str, clause: Phrase) -> Phrase:
    """A clause with something before its subject."""
    before: tuple[Child, ...] = (front, mark) if mark else (front,)
    return clause._replace(children=(*before, *clause.children))


def _that_is_why(world: World, clause: Phrase) -> Phrase:
    that = Phrase("NP", (Leaf("that", "that", "PRON", number="singular"),))
    why = Phrase("SBAR", (Leaf("why", "why", "SCONJ"), clause))
    return Phrase("S", (that, Phrase("VP", (auxiliary("be", world.past, False), why))), construction="copula")


def linked(world: World, subject: Phrase, plural: bool, *rest: Child) -> Phrase:
    """A clause of *be*: subject, the form that agrees, the rest."""
    be = auxiliary("be", world.past, plural)
    return Phrase("S", (subject, Phrase("VP", (be, *rest))), construction="copula")


def describes(world: World, one: Referent, quality: Adjective, *degree: str) -> Phrase:
    """*The key was rusty*; a degree such as *very* goes before the adjective."""
    return linked(world, hushed_subject(world, one), one.plural, adjectival(quality, *degree))


def hushed_subject(world: World, one: Referent) -> Phrase:
    """A subject without its trait, for a sentence that is about to state it."""
    world.hushed = one
    one.stated = True
    subject = refer(world, one, "theme", SUBJECT, modify=True)
    world.hushed = None
    return subject


def adjectival(quality: Adjective, *degree: str) -> Phrase:
    """An adjective phrase."""
    return Phrase("ADJP", (*(Leaf(form, form, "ADV") for form in degree), adjective(quality)))


def negated(world: World, one: Referent, quality: Adjective) -> Phrase:
    """*The key was not heavy*."""
    tree = linked(world, hushed_subject(world, one), one.plural, NOT, adjectival(quality))
    return tree._replace(construction="negation")


def stative(world: World, lemma: str, subject: Referent, *rest: Child) -> Phrase:
    """A clause of a verb of state: *Anna had a red kite*. The rest must be made after the subject."""
    return Phrase("S", (refer(world, subject, "experiencer", SUBJECT), says(world, lemma, subject.plural, *rest)))


def says(world: World, lemma: str, plural: bool, *rest: Child) -> Phrase:
    """The verb phrase of a verb of state."""
    return Phrase("VP", (verb(world.words.verbs["belong", lemma], world.past, plural), *rest), construction="stative")


def coordinated(first: Phrase, mark: str, conjunction: Leaf, second: Phrase) -> Phrase:
    """Two clauses, or two verb phrases, joined by a conjunction."""
    marks: tuple[Child, ...] = (mark,) if mark else ()
    return Phrase(first.label, (first, *marks, conjunction, second), construction="coordination")


def with_reason(main: Phrase, conjunction: str, reason: Phrase) -> Phrase:
    """A main clause with a subordinate one after it."""
    under = Phrase("SBAR", (Leaf(conjunction, conjunction, "SCONJ"), reason), construction="subordinate")
    return main._replace(children=(*main.children, under))


def under_first(conjunction: str, subordinate: Phrase, main: Phrase) -> Phrase:
    """A main clause with a subordinate one before it."""
    under = Phrase("SBAR", (Leaf(conjunction, conjunction, "SCONJ"), subordinate), construction="subordinate")
    return fronted(under, ",", main)


def to_infinitive(vp: Phrase) -> Phrase:
    """*To* and a verb phrase."""
    return Phrase("VP", (TO, vp), construction="infinitive")


def state_verb(world: World, form: str, lemma: str) -> Leaf:
    """A form of a verb of state, such as the participle *lost*."""
    return nonfinite(world.words.verbs["belong", lemma], form)


def doing(world: World, agent: Referent, kind: str, lemma: str) -> Event | None:
    """An event of a given verb with fillers that fit, or None."""
    return fill(world, world.words.verbs[kind, lemma], agent)


def and_then(first: Phrase, second: Phrase) -> Phrase:
    """One subject's verb phrase followed by another."""
    return Phrase("VP", (first, AND, second), construction="coordination")


def time_phrase(form: str) -> Phrase:
    """A fixed expression of time or degree."""
    return adverb(form)
