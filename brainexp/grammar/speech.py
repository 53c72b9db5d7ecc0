"""What people say, know and believe, in clauses inside clauses."""

from collections.abc import Callable

from brainexp.grammar.cast import Referent, World
from brainexp.grammar.events import clause, propose, take_place
from brainexp.grammar.phrase import NOT, THAT, Leaf, Phrase, auxiliary, prepositional, verb
from brainexp.grammar.reference import SUBJECT, definite, refer
from brainexp.grammar.setting import STORES
from brainexp.grammar.telling import Passage, Plan, continued, describes, linked, negated


def people(world: World) -> list[Referent]:
    """The persons present."""
    return [one for one in world.company if one.noun.animacy == "human"]


def report(world: World) -> Passage:
    """*Tom said that the key was rusty*, at times with a second level: *Anna knew that Tom thought ...*."""
    draws = world.draws
    if not people(world):
        return
    speaker = draws.pick(people(world))
    said = draws.pick([one for one in world.words.verbs.values() if one.kind == "say"])
    subject = refer(world, speaker, "agent", SUBJECT)
    content = _content(world, speaker)
    others = [one for one in people(world) if one is not speaker]
    if others and draws.chance(0.2):
        inner = draws.pick(others)
        thought = world.words.verbs["say", draws.pick(("think", "know", "believe", "hope", "say"))]
        middle = refer(world, inner, "experiencer", SUBJECT)
        vp = Phrase("VP", (verb(thought, world.past, inner.plural), Phrase("SBAR", (THAT, content(world)))))
        told = Phrase("S", (middle, vp))
    else:
        told = content(world)
    vp = Phrase(
        "VP",
        (verb(said, world.past, speaker.plural), Phrase("SBAR", (THAT, told))),
        construction="complement clause",
    )
    yield Plan(Phrase("S", (subject, vp), construction="complement clause"), "sequence")
    if others and draws.chance(0.35):
        yield from _disagree(world, draws.pick(others))


def _content(world: World, speaker: Referent) -> Callable[[World], Phrase]:
    """What may be said: a property that is true in the story, or an event."""
    things = [
        one for one in world.props if one.mentioned and one.trait is not None and not one.stated and one is not speaker
    ]
    if things and world.draws.chance(0.6):
        thing = world.draws.pick(things)
        assert thing.trait is not None
        trait = thing.trait
        return lambda state: describes(state, thing, trait)
    event = propose(world, world.draws.pick(world.others(speaker) or [speaker]))
    # "Tom thought that Peter helped Tom" would need a pronoun that is not clear.
    while speaker in (event.patient, event.recipient):
        event = propose(world, event.agent)

    def told(state: World) -> Phrase:
        tree = clause(state, event, modify=False)
        take_place(state, event)
        return tree

    return told


def _disagree(world: World, other: Referent) -> Passage:
    subject = refer(world, other, "experiencer", SUBJECT)
    believe = world.words.verbs["say", "believe"]
    it = Leaf("it", "it", "PRON", number="singular")
    do = auxiliary("do", world.past, other.plural)
    base = Phrase(
        "VP",
        (
            Leaf(believe.lemma, believe.lemma, "VERB", "infinitive", "none", "say"),
            Phrase("NP", (it,), "theme"),
        ),
    )
    vp = Phrase("VP", (do, NOT, base), construction="negation")
    yield continued(world, "contrast", Phrase("S", (subject, vp), construction="negation"))


def question(world: World) -> Passage:
    """*Where was the key? It was in the box*: the answer is where the world has it."""
    placed = [one for one in world.props if one.place is not None and one.mentioned and one.place.noun.tag]
    if not placed:
        return
    thing = world.draws.pick(placed)
    where = Phrase("ADVP", (Leaf("where", "where", "ADV"),))
    be = auxiliary("be", world.past, thing.plural)
    # Asked with the noun: a pronoun would make the question lean on the sentence before.
    world.now.append(thing)
    asked = Phrase("S", (where, Phrase("VP", (be,)), Phrase("NP", definite(thing), "theme")), construction="question")
    yield Plan(asked, "sequence", "?")
    assert thing.place is not None
    subject = refer(world, thing, "theme", SUBJECT)
    spot = prepositional(thing.place.noun.tag, refer(world, thing.place), "location")
    yield Plan(linked(world, subject, thing.plural, spot), "elaboration")


def mistaken(world: World) -> Passage:
    """*Tom thought that the key was in the box, but it was in the bag*: belief against the world."""
    placed = [one for one in world.props if one.place is not None and one.mentioned and one.place.noun.tag]
    if not placed or not people(world):
        return
    draws = world.draws
    thing = draws.pick(placed)
    assert thing.place is not None
    wrong = world.prop(STORES, plural=False)
    if wrong is thing.place or wrong is thing or not wrong.noun.tag:
        return
    thinker = draws.pick(people(world))
    subject = refer(world, thinker, "experiencer", SUBJECT)
    theme = refer(world, thing, "theme", SUBJECT)
    spot = prepositional(wrong.noun.tag, refer(world, wrong), "location")
    believed = Phrase("SBAR", (THAT, linked(world, theme, thing.plural, spot)))
    thought = verb(world.words.verbs["say", draws.pick(("think", "believe"))], world.past, thinker.plural)
    vp = Phrase("VP", (thought, believed), construction="complement clause")
    yield Plan(Phrase("S", (subject, vp), construction="complement clause"), "sequence")
    theme = refer(world, thing, "theme", SUBJECT)
    truth = prepositional(thing.place.noun.tag, refer(world, thing.place), "location")
    yield continued(world, "contrast", linked(world, theme, thing.plural, truth))


def portrait(world: World) -> Passage:
    """What somebody or something is like: the property it was introduced with, or how two differ."""
    draws = world.draws
    candidates = [
        one for one in (*world.company, *world.props) if one.mentioned and one.trait is not None and not one.stated
    ]
    if not candidates:
        return
    one = draws.pick(candidates)
    assert one.trait is not None
    antonym = one.trait.antonym
    rivals = [other for other in candidates if antonym and other.trait and other.trait.lemma == antonym]
    if rivals and draws.chance(0.7):
        other = draws.pick(rivals)
        assert other.trait is not None
        yield Plan(describes(world, one, one.trait), "elaboration")
        yield continued(world, "contrast", describes(world, other, other.trait))
        return
    if antonym and draws.chance(0.4):
        yield from _not_but(world, one, antonym)
        return
    yield Plan(describes(world, one, one.trait, *(("very",) if draws.chance(0.3) else ())), "elaboration")


def _not_but(world: World, one: Referent, antonym: str) -> Passage:
    """*The box was not heavy. It was light*: negation with the antonym."""
    assert one.trait is not None
    opposite = world.words.adjectives[one.trait.group, antonym]
    yield Plan(negated(world, one, opposite), "elaboration")
    yield Plan(describes(world, one, one.trait), "inference")
