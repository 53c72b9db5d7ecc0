"""What happens: events told in turn, in several constructions."""

from brainexp.grammar.cast import Referent, World
from brainexp.grammar.events import Event, clause, passive, predicate, propose, take_place
from brainexp.grammar.phrase import Leaf, Phrase, adverb
from brainexp.grammar.reference import name, refer
from brainexp.grammar.setting import together
from brainexp.grammar.telling import (
    Passage,
    Plan,
    and_then,
    continued,
    fronted,
    linked,
    under_first,
    with_reason,
)


def actor(world: World) -> Referent:
    """Who acts next: rather one who was mentioned just now, at times an animal or a pair."""
    draws = world.draws
    recent = [one for one in world.before if one in world.company]
    if recent and draws.chance(0.5):
        return draws.pick(recent)
    animals = [one for one in world.props if one.animate and one.mentioned]
    if animals and draws.chance(0.25):
        return draws.pick(animals)
    if len(world.company) > 1 and draws.chance(0.3):
        first = draws.pick(world.company)
        people = [one for one in world.others(first) if one.noun.animacy == first.noun.animacy]
        if people:
            return together(world, first, draws.pick(people))
    return draws.pick(world.company)


def action(world: World) -> Passage:
    """One event in the present scene."""
    draws = world.draws
    event = propose(world, actor(world))
    style = draws.uniform()
    patient = event.patient
    if patient is not None and event.verb.frame == "transitive" and style < 0.16 and not patient.name:
        tree = passive(world, event)
    elif style < 0.30:
        tree = _two_in_a_row(world, event)
    elif style < 0.44:
        tree = _at_the_same_time(world, event)
    elif style < 0.50:
        tree = clause(world, event, "progressive")
    elif style < 0.56:
        tree = clause(world, event, "recent")
    elif style < 0.61:
        tree = _cleft(world, event)
    else:
        tree = clause(world, event)
    take_place(world, event)
    if tree.construction not in ("cleft", "fronted") and event.agent in world.before and draws.chance(0.45):
        yield continued(world, "sequence", tree)
    else:
        yield Plan(tree, "sequence")


def _two_in_a_row(world: World, event: Event) -> Phrase:
    first = clause(world, event)
    take_place(world, event)
    second = propose(world, event.agent)
    if second.verb is event.verb or second.patient is event.patient is not None:
        return first
    vp = and_then(first.children[1], predicate(world, second))  # type: ignore[arg-type]
    take_place(world, second)
    return first._replace(children=(first.children[0], vp), construction="coordination")


def _at_the_same_time(world: World, event: Event) -> Phrase:
    others = world.others(event.agent, *event.agent.members)
    if not others:
        return clause(world, event)
    second = propose(world, world.draws.pick(others))
    if second.verb is event.verb:
        return clause(world, event)
    conjunction = world.draws.pick(("while", "when", "before", "after", "until"))
    form = {"while": "progressive", "after": "perfect"}.get(conjunction, "finite")
    if world.draws.chance(0.4) and conjunction != "until":
        under = clause(world, event, form, modify=False)
        tree = under_first(conjunction, under, clause(world, second))
    else:
        main = clause(world, event)
        tree = with_reason(main, conjunction, clause(world, second, form, modify=False))
    take_place(world, second)
    return tree._replace(construction="fronted")


def _cleft(world: World, event: Event) -> Phrase:
    """*It was Anna who found the key*."""
    if event.agent.plural or not event.agent.name:
        return clause(world, event)
    who = "who" if event.agent.noun.animacy == "human" else "that"
    focus = refer(world, event.agent, "agent") if not event.agent.mentioned else _named(world, event.agent)
    relative = Leaf(who, who, "PRON", "none", "none", "none", "none", event.agent.number, "pronoun")
    rc = Phrase("RC", (Phrase("NP", (relative,), "agent"), predicate(world, event)), "none", "subject relative")
    it = Phrase("NP", (Leaf("it", "it", "PRON", number="singular"),))
    return linked(world, it, False, focus, rc)._replace(construction="cleft")


def _named(world: World, one: Referent) -> Phrase:
    world.now.append(one)
    return Phrase("NP", (name(one),), "agent")


def everyday(world: World) -> Passage:
    """A plain event after a word for time, which shifts the scene a little."""
    event = propose(world, actor(world))
    form = world.draws.pick(
        (
            "later that day",
            "meanwhile",
            "in the meantime",
            "a moment later",
            "all of a sudden",
            "for a while",
            "once more",
            "as usual",
        )
    )
    tree = fronted(adverb(form), ",", clause(world, event))
    take_place(world, event)
    yield Plan(tree, "sequence")
