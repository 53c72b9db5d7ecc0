"""Referring expressions: who is named, described or only pointed at by a pronoun, and when."""

from brainexp.grammar.cast import PRONOUNS, Referent, World
from brainexp.grammar.inflection import article
from brainexp.grammar.phrase import (
    AND,
    Child,
    Leaf,
    Phrase,
    adjective,
    auxiliary,
    nonfinite,
    noun,
    prepositional,
)

NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SUBJECT, OBJECT, POSSESSIVE, REFLEXIVE = range(4)


def refer(world: World, one: Referent, role: str = "none", case: int = OBJECT, modify: bool = False) -> Phrase:
    """A noun phrase for a referent, by what the listener knows already.

    Parameters
    ----------
    world : World
        Its list of present mentions grows by this one.
    one : Referent
    role : str
        Semantic role of the phrase.
    case : int
        `SUBJECT` or `OBJECT`.
    modify : bool
        Whether a description may carry a relative clause or a place, which separates a subject from
        its verb.
    """
    if one.members:
        return _coordination(world, one, role, case)
    # Within one sentence a repeated name would point at somebody else ("he saw Charles").
    if _pronoun_is_clear(world, one) and (one in world.now or world.draws.chance(0.8)):
        world.now.append(one)
        return Phrase("NP", (pronoun(one, case),), role)
    given = one.mentioned
    one.mentioned = True
    world.now.append(one)
    if not given:
        return _introduction(world, one, role)
    if one.name and (not modify or world.draws.chance(0.8)):
        return Phrase("NP", (name(one),), role)
    return _description(world, one, role, modify)


def reflexive(one: Referent) -> Phrase:
    """*Himself* and its like: bound in its own clause, so the hearer has no antecedent to look for."""
    return Phrase("NP", (pronoun(one, REFLEXIVE)._replace(givenness="given"),), "patient")


def pronoun(one: Referent, case: int) -> Leaf:
    """The pronoun of a referent in a case, an index into a row of `PRONOUNS`."""
    form = PRONOUNS[one.gender][case]
    number = "plural" if one.gender == "plural" else "singular"
    return Leaf(
        form,
        PRONOUNS[one.gender][0],
        "PRON",
        "none",
        number,
        one.noun.kind,
        one.noun.animacy,
        one.number,
        "pronoun",
    )


def name(one: Referent, ending: str = "") -> Leaf:
    """A proper name, with ``'s`` where it owns what follows."""
    givenness = "given" if one.mentioned else "new"
    return Leaf(
        one.name + ending,
        one.name,
        "PROPN",
        "none",
        "singular",
        one.noun.kind,
        one.noun.animacy,
        one.number,
        givenness,
    )


def definite(one: Referent, *before: Leaf) -> tuple[Leaf, ...]:
    """*The* and a noun, with words between; for what is known or unique."""
    the = Leaf("the", "the", "DET", "none", "none", "none", "none", one.number, "given")
    return (the, *before, noun(one.noun, one.plural, one.number, "given"))


def demonstrative(one: Referent, near: bool, *before: Leaf) -> tuple[Leaf, ...]:
    """Put *this* or *that* before a noun of the same number; for what was mentioned."""
    singular, plural = ("this", "these") if near else ("that", "those")
    form, number = (plural, "plural") if one.plural else (singular, "singular")
    this = Leaf(form, singular, "DET", "none", number, "none", "none", one.number, "given")
    return (this, *definite(one, *before)[1:])


def _pronoun_is_clear(world: World, one: Referent) -> bool:
    recent = world.before + world.now
    return one in recent and not any(other.gender == one.gender and other is not one for other in recent)


def _coordination(world: World, group: Referent, role: str, case: int) -> Phrase:
    if _pronoun_is_clear(world, group):
        world.now.append(group)
        return Phrase("NP", (pronoun(group, case),), role)
    conjunction = AND._replace(number="plural", entity=group.number, givenness="given" if group.mentioned else "new")
    children: list[Child] = []
    for member in group.members:
        if children:
            children.append(conjunction)
        member_name = name(member)
        member.mentioned = True
        children.append(Phrase("NP", (member_name,)))
        world.now.append(member)
    group.mentioned = True
    world.now.append(group)
    return Phrase("NP", tuple(children), role, "coordination")


def _introduction(world: World, one: Referent, role: str) -> Phrase:
    draws = world.draws
    leaves: list[Leaf] = []
    if one.trait is not None and one is not world.hushed and (one.name or draws.chance(0.65)):
        leaves.append(adjective(one.trait, one.number, "new"))
    leaves.append(noun(one.noun, one.plural, one.number, "new"))
    if one.plural:
        quantity = draws.pick(("some", "two", "three", "several", "many", "four", "a few"))
        determiner = [_determiner(part, one) for part in quantity.split()]
    elif one.noun.mass:
        determiner = [_determiner("some", one)]
    else:
        determiner = [_determiner(article(leaves[0].form), one)]
    np = Phrase("NP", (*determiner, *leaves), role)
    if not one.name:
        return np
    named = Phrase("RC", (Phrase("VP", (NAMED, Phrase("NP", (name(one),)))),), construction="reduced relative")
    return Phrase("NP", (np._replace(role="none"), named), role)


NAMED = Leaf("named", "name", "VERB", "participle", "none", "say")


def _determiner(form: str, one: Referent) -> Leaf:
    lemma = "a" if form == "an" else form
    pos = "NUM" if form in NUMERALS[1:] else "ADJ" if form == "few" else "DET"
    number = "singular" if lemma == "a" else "none"
    return Leaf(form, lemma, pos, "none", number, "none", "none", one.number, "new")


def _description(world: World, one: Referent, role: str, modify: bool) -> Phrase:
    draws = world.draws
    trait: tuple[Leaf, ...] = ()
    if one.trait is not None and one is not world.hushed and draws.chance(0.35):
        trait = (adjective(one.trait, one.number, "given"),)
    # "Agnes wrapped Agnes's key" would sound like two persons of one name.
    owner = one.owner
    if owner and (owner not in world.now or _pronoun_is_clear(world, owner)) and draws.chance(0.5):
        return Phrase("NP", (possessor(world, owner), *trait, definite(one)[1]), role)
    pointed = draws.chance(0.15)
    # "She said that that key ..." would stumble, so a subject takes "this".
    near = draws.chance(0.5) or (modify and not one.plural)
    words = demonstrative(one, near, *trait) if pointed else definite(one, *trait)
    np = Phrase("NP", words, role)
    if modify and draws.chance(0.8):
        modifier = _modifier(world, one)
        if modifier is not None:
            return Phrase("NP", (np._replace(role="none"), modifier), role)
    return np


def possessor(world: World, owner: Referent) -> Leaf:
    """*Anna's*, *the miller's* as one word, or *her* where that is clear."""
    clear = _pronoun_is_clear(world, owner)
    world.now.append(owner)
    if clear or not owner.name:
        return pronoun(owner, POSSESSIVE)
    return name(owner, "'s")


def _modifier(world: World, one: Referent) -> Phrase | None:
    draws = world.draws
    if one.deeds and draws.chance(0.6):
        return relative_clause(world, one, *draws.pick(one.deeds))
    if one.name or one.owner is not None:
        return None
    if one.place is not None and one.place.noun.tag in ("in", "on"):
        return prepositional(one.place.noun.tag, refer(world, one.place), "location")
    here = prepositional(world.place.noun.tag or "in", Phrase("NP", definite(world.place)), "location")
    if one.animate or (one.plural and draws.chance(0.4)):
        return here
    others = [
        other
        for other in world.props
        if other is not one and other.mentioned and not other.animate and other.plural != one.plural
    ]
    if not others:
        return here
    form = draws.pick(("near", "beside", "behind", "next to"))
    return prepositional(form, Phrase("NP", definite(draws.pick(others))), "location")


def relative_clause(world: World, one: Referent, verb: object, other: Referent, agent: bool) -> Phrase:
    """A relative clause about something that happened before: *who had found the key*."""
    from brainexp.grammar.lexicon import Verb

    assert isinstance(verb, Verb)
    form = "who" if one.noun.animacy == "human" else "that"
    relative = Leaf(form, form, "PRON", "none", "none", "none", "none", one.number, "pronoun")
    participle = nonfinite(verb, "participle")
    if agent:
        have = auxiliary("have", world.past, one.plural)
        vp = Phrase("VP", (have, Phrase("VP", (participle, refer(world, other, "patient")))))
        return Phrase("RC", (Phrase("NP", (relative,), "agent"), vp), "none", "subject relative")
    subject = refer(world, other, "agent", SUBJECT)
    have = auxiliary("have", world.past, other.plural)
    clause = Phrase("S", (subject, Phrase("VP", (have, Phrase("VP", (participle,))))))
    return Phrase("RC", (Phrase("NP", (relative,), "patient"), clause), "none", "object relative")
