"""Wants and feelings: why somebody acts, what comes of it, and what stands in the way.

The connective between two sentences follows from the world: *so* when the act meets the need, *but*
when it fails or is left out, *because* when the need explains the act.
"""

from brainexp.grammar.action import actor
from brainexp.grammar.cast import Referent, World
from brainexp.grammar.events import Event, clause, fill, here, predicate, propose, take_place
from brainexp.grammar.phrase import (
    NOT,
    Leaf,
    Phrase,
    adverb,
    auxiliary,
    nonfinite,
    prepositional,
    unable,
    verb,
)
from brainexp.grammar.reference import POSSESSIVE, SUBJECT, definite, pronoun, refer
from brainexp.grammar.telling import (
    Passage,
    Plan,
    continued,
    describes,
    doing,
    says,
    state_verb,
    to_infinitive,
    under_first,
    with_reason,
)

#: Mood, what was left undone before it, and the acts that answer it.
NEEDS: dict[str, tuple[tuple[str, str], tuple[tuple[str, str], ...]]] = {
    "hungry": (("ingest", "eat"), (("ingest", "eat"),)),
    "thirsty": (("ingest", "drink"), (("ingest", "drink"),)),
    "tired": (("activity", "sleep"), (("activity", "sleep"), ("activity", "rest"))),
    "bored": (("activity", "play"), (("activity", "play"), ("activity", "dance"), ("activity", "sing"))),
}
#: Mood after an event befalls somebody: (how it shows, what is done about it by a friend).
JOYS = (("happy", "sing"), ("happy", "dance"), ("pleased", "smile"), ("excited", "laugh"), ("proud", "smile"))
GRIEFS = (("sad", "cry"), ("worried", "sigh"), ("angry", "shout"), ("disappointed", "sigh"), ("sad", "sigh"))
#: What happens to people rather than what they set out to do.
UNWILLED = frozenset(
    {
        "tremble",
        "shiver",
        "sneeze",
        "snore",
        "cough",
        "yawn",
        "sigh",
        "drop",
        "break",
        "cry",
        "limp",
        "dream",
        "wander",
        "forget",
        "remember",
        "lose",
        "meet",
    }
)
BELONGINGS = ("toy", "treasure", "garment", "document", "musical", "light")


def need(world: World) -> Passage:
    """Somebody lacks something; the lack is met, or it is not."""
    draws = world.draws
    one = _single(world)
    mood = draws.pick(tuple(NEEDS))
    undone, answers = NEEDS[mood]
    answer = doing(world, one, *draws.pick(answers))
    if answer is None or not world.words.admits(one.noun, world.words.verbs[undone].subjects):
        return
    quality = world.words.adjectives["mood", mood]
    style = draws.uniform()
    if style < 0.25:
        yield Plan(clause(world, answer), "sequence")
        yield Plan(describes(world, one, quality, draws.pick(("very", "so", "quite"))), "cause")
        take_place(world, answer)
        return
    if style < 0.45:
        tree = with_reason(clause(world, answer), "because", describes(world, one, quality))
        yield Plan(tree, "sequence")
        take_place(world, answer)
        return
    lack = describes(world, one, quality, *(("very",) if draws.chance(0.4) else ()))
    if style < 0.75:
        lack = with_reason(lack, "because", _not_since(world, one, undone))
    yield Plan(lack, "sequence")
    if draws.chance(0.3):
        yield from _in_vain(world, one, answer)
        return
    yield continued(world, "result", clause(world, answer))
    take_place(world, answer)
    if draws.chance(0.35):
        tree = describes(world, one, quality)
        be, adjective = tree.children[1].children  # type: ignore[union-attr]
        no_more = Phrase("VP", (be, NOT, adjective, adverb("any more")), construction="negation")
        now = Phrase("ADVP", (Leaf("now", "now", "ADV"),))
        yield Plan(tree._replace(children=(now, tree.children[0], no_more)), "result")


def _single(world: World) -> Referent:
    one = actor(world)
    return world.draws.pick(one.members) if one.members else one if one in world.cast else world.company[0]


def _not_since(world: World, one: Referent, undone: tuple[str, str]) -> Phrase:
    subject = refer(world, one, "experiencer", SUBJECT)
    participle = nonfinite(world.words.verbs[undone], "participle")
    day = Leaf("the", "the", "DET")
    since = world.draws.pick(("morning", "day before", "evening"))
    words = (day, *(Leaf(form, form, "NOUN" if form != "before" else "ADV") for form in since.split()))
    time = prepositional("since", Phrase("NP", words))
    inner = Phrase("VP", (participle, time))
    vp = Phrase("VP", (auxiliary("have", world.past, one.plural), NOT, inner), construction="negation")
    return Phrase("S", (subject, vp))


def _in_vain(world: World, one: Referent, answer: Event) -> Passage:
    """The need stays: what would meet it is missing, or there is no time for it."""
    if answer.patient is None:
        yield continued(world, "contrast", clause(world, answer, "unable"))
        return
    subject = refer(world, one, "agent", SUBJECT)
    what = "food" if answer.verb.lemma == "eat" else "water"
    any_food = Phrase(
        "NP",
        (
            Leaf("any", "any", "DET"),
            Leaf(what, what, "NOUN", kind=what, number="singular", animacy="inanimate"),
        ),
        "patient",
    )
    find = Phrase("VP", (nonfinite(world.words.verbs["perceive", "find"], "infinitive"), any_food, here(world)))
    vp = Phrase("VP", (*unable(world.past, one.plural), find), construction="negation")
    yield continued(world, "contrast", Phrase("S", (subject, vp), construction="negation"))


def wish(world: World) -> Passage:
    """*Anna wanted to paint the door*: then she does, or cannot, or somebody else would rather not."""
    draws = world.draws
    one = _single(world)
    if one.noun.animacy != "human":
        return
    event = propose(world, one)
    while event.verb.kind in ("perceive", "noise") or event.verb.lemma in UNWILLED:
        event = propose(world, one)
    intend = draws.pick([each for each in world.words.verbs.values() if each.kind == "intend"])
    if intend.lemma in ("love", "prefer") and (event.patient or event.goal):
        return
    subject = refer(world, one, "agent", SUBJECT)
    infinitive = to_infinitive(predicate(world, event, "infinitive"))
    vp = Phrase("VP", (verb(intend, world.past, one.plural), infinitive), construction="control")
    yield Plan(Phrase("S", (subject, vp), construction="control"), "sequence")
    if intend.lemma in {"refuse", "forget"}:
        yield from _regret(world, one)
    elif intend.lemma in ("want", "plan", "hope", "try", "need", "decide") and draws.chance(0.5):
        yield from _obstacle(world, one, event)
    elif intend.lemma not in ("love", "prefer"):
        again = Event(event.verb, one, event.patient, event.recipient, event.instrument, event.goal, event.path)
        if draws.chance(0.5):
            yield continued(world, "result", clause(world, again))
            take_place(world, event)


def _regret(world: World, one: Referent) -> Passage:
    others = [other for other in world.others(one) if other.noun.animacy == "human"]
    if not others:
        return
    quality = world.words.adjectives["mood", world.draws.pick(("angry", "disappointed", "sad", "worried"))]
    yield continued(world, "result", describes(world, world.draws.pick(others), quality))


def _obstacle(world: World, one: Referent, event: Event) -> Passage:
    draws = world.draws
    if draws.chance(0.5):
        quality = world.words.adjectives["mood", draws.pick(("tired", "afraid", "ill", "worried", "nervous"))]
        yield continued(world, "contrast", describes(world, one, quality, "too"))
        return
    again = Event(event.verb, one, event.patient, event.recipient, None, event.goal, event.path)
    yield continued(world, "contrast", clause(world, again, "unable"))


def fortune(world: World) -> Passage:
    """Something is lost, broken or found; somebody rejoices or grieves over it."""
    draws = world.draws
    one = _single(world)
    if one.noun.animacy != "human":
        return
    owned = [thing for thing in world.props if thing.owner is one]
    thing = draws.pick(owned) if owned else world.prop(BELONGINGS, plural=False)
    if thing.owner not in (None, one) or thing.animate:
        return
    good = not owned or draws.chance(0.3)
    if good and owned:
        return
    mood, show = draws.pick(JOYS if good else GRIEFS)
    quality = world.words.adjectives["mood", mood]
    change = world.words.verbs[("perceive", "find") if good else ("belong", "lose")]
    if draws.chance(0.3):
        reason = with_reason(describes(world, one, quality), "because", _perfect(world, one, good, thing))
        yield Plan(reason, "sequence")
    else:
        subject = refer(world, one, "agent", SUBJECT)
        vp = Phrase("VP", (verb(change, world.past, one.plural), _own_thing(world, one, thing)))
        yield Plan(Phrase("S", (subject, vp), construction="transitive"), "sequence")
        yield continued(world, "result", describes(world, one, quality))
    thing.owner = one if good else None
    if not good and thing in world.props:
        world.props.remove(thing)
    showing = fill(world, world.words.verbs["activity", show], one)
    if showing is not None and draws.chance(0.6):
        yield Plan(clause(world, showing), "sequence")
    friends = [other for other in world.others(one) if other.noun.animacy == "human"]
    if not good and friends and draws.chance(0.5):
        comfort = Event(world.words.verbs["care", draws.pick(("comfort", "help", "hug"))], draws.pick(friends), one)
        yield continued(world, "result", clause(world, comfort))
    if not good and draws.chance(0.5):
        yield from _found_again(world, one, thing)


def _own_thing(world: World, one: Referent, thing: Referent) -> Phrase:
    if thing.mentioned and thing.owner is one and thing.gender == "neuter":
        world.now.append(thing)
        return Phrase("NP", (pronoun(one, POSSESSIVE), definite(thing)[1]), "patient")
    return refer(world, thing, "patient")


def _perfect(world: World, one: Referent, good: bool, thing: Referent) -> Phrase:
    subject = refer(world, one, "agent", SUBJECT)
    participle = (
        nonfinite(world.words.verbs["perceive", "find"], "participle")
        if good
        else state_verb(world, "participle", "lose")
    )
    inner = Phrase("VP", (participle, refer(world, thing, "patient")))
    return Phrase("S", (subject, Phrase("VP", (auxiliary("have", world.past, one.plural), inner))))


def _found_again(world: World, one: Referent, thing: Referent) -> Passage:
    subject = refer(world, one, "agent", SUBJECT)
    search = says(world, "search", one.plural, prepositional("for", refer(world, thing, "patient")))
    yield Plan(Phrase("S", (subject, search), construction="intransitive"), "sequence")
    find = Event(world.words.verbs["perceive", "find"], one, thing)
    if world.draws.chance(0.5):
        yield continued(world, "contrast", clause(world, find, "unable"))
        return
    world.props.append(thing)
    thing.owner = one
    tree = clause(world, find)
    vp = tree.children[1]
    assert isinstance(vp, Phrase)
    found = vp._replace(children=(*vp.children, here(world)))
    yield Plan(tree._replace(children=(tree.children[0], found)), "sequence")


def in_spite(world: World) -> Passage:
    """*Although Anna was tired, she painted the door*: a mood against the act."""
    draws = world.draws
    one = _single(world)
    quality = world.words.adjectives["mood", draws.pick(("tired", "afraid", "ill", "sad", "nervous", "cold"))]
    event = propose(world, one)
    if event.verb.lemma in ("sleep", "rest", "cry", "sigh", "tremble", "shiver", "yawn", "snore"):
        return
    under = describes(world, one, quality)
    yield Plan(under_first("although", under, clause(world, event)), "sequence")
    take_place(world, event)


def reaction(world: World) -> Passage:
    """Something frightens or pleases somebody, who acts on it."""
    draws, words = world.draws, world.words
    feelings = [each for each in words.verbs.values() if each.frame == "experience"]
    one = _single(world)
    act = draws.pick([each for each in feelings if words.admits(one.noun, each.objects)] or feelings)
    if not words.admits(one.noun, act.objects):
        return
    source = world.prop(act.subjects, plural=False)
    if source.noun.kind in ("weather", "news") and source in world.props:
        world.props.remove(source)
    if source.noun is one.noun or source.name:
        return
    subject = refer(world, source, "agent", SUBJECT)
    vp = Phrase("VP", (verb(act, world.past, source.plural), refer(world, one, "experiencer")))
    yield Plan(Phrase("S", (subject, vp), construction="experience"), "sequence")
    show = {"frighten": "tremble", "surprise": "jump", "please": "smile", "amuse": "laugh", "annoy": "shout"}
    shown = fill(world, words.verbs["activity", show.get(act.lemma, "yawn")], one)
    if words.admits(one.noun, shown.verb.subjects) if shown else False:
        assert shown is not None
        yield continued(world, "result", clause(world, shown))
