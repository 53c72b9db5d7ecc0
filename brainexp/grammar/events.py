"""What may happen next: verbs with fillers that they select, and what events change."""

from dataclasses import dataclass

from brainexp.grammar.cast import Referent, World
from brainexp.grammar.lexicon import Noun, Verb
from brainexp.grammar.manner import INSTANT, MANNERS, PLACED, STILL, TELLING
from brainexp.grammar.phrase import (
    NOT,
    Child,
    Leaf,
    Phrase,
    adverb,
    auxiliary,
    nonfinite,
    prepositional,
    unable,
)
from brainexp.grammar.phrase import (
    verb as finite_verb,
)
from brainexp.grammar.reference import SUBJECT, definite, refer

CONSUMED = frozenset({"eat", "swallow", "drink", "chew", "sell"})
TAKEN = frozenset(
    {
        "carry",
        "hold",
        "find",
        "buy",
        "steal",
        "borrow",
        "pick",
        "wear",
        "catch",
        "make",
        "knit",
        "sew",
        "carve",
        "write",
        "weave",
        "lift",
    }
)
#: Classes of verbs that a character may undergo, and verbs among them that only befall the nameless.
SOCIAL = frozenset({"perceive", "pursue", "care"})
IMPERSONAL = frozenset({"catch", "hunt", "milk", "find"})
EPISODES = (
    "activity",
    "noise",
    "motion",
    "ingest",
    "perceive",
    "pursue",
    "care",
    "handle",
    "clean",
    "create",
    "repair",
    "cut",
    "grow",
    "study",
    "perform",
    "transfer",
)


@dataclass(slots=True, eq=False)
class Event:
    """A verb with its participants; how it is told is decided later."""

    verb: Verb
    agent: Referent
    patient: Referent | None = None
    recipient: Referent | None = None
    instrument: Referent | None = None
    goal: Referent | None = None
    path: str = ""


_options: dict[tuple[Noun, str], tuple[tuple[Verb, ...], tuple[Verb, ...]]] = {}


def verbs_of(world: World, noun: Noun) -> tuple[tuple[Verb, ...], tuple[Verb, ...]]:
    """Verbs of events that a noun may be the agent of: those of the topic, and all."""
    key = (noun, world.topic.name)
    if key not in _options:
        fitting = tuple(
            one for one in world.words.verbs.values() if one.kind in EPISODES and world.words.admits(noun, one.subjects)
        )
        _options[key] = (tuple(one for one in fitting if one.lemma in world.topic.verbs), fitting)
    return _options[key]


def propose(world: World, agent: Referent) -> Event:
    """Something the agent may do here and now."""
    typical, possible = verbs_of(world, agent.noun)
    while True:
        chosen = typical if typical and world.draws.chance(0.5) else possible
        verb = world.draws.pick(chosen)
        if verb in world.recent_verbs and world.draws.chance(0.9):
            continue
        event = fill(world, verb, agent)
        if event is not None:
            world.recent_verbs = [*world.recent_verbs[-5:], verb]
            return event


def fill(world: World, verb: Verb, agent: Referent) -> Event | None:
    """An event of a verb with participants that it selects, or None where nobody fits."""
    if verb.frame == "motion":
        return _motion(world, verb, agent)
    if not verb.objects:
        return None if verb.frame == "transfer" else Event(verb, agent)
    if verb.frame == "transfer":
        return _transfer(world, verb, agent)
    patient = _patient(world, verb, agent)
    if patient is None:
        return None
    event = Event(verb, agent, patient)
    if verb.instruments and world.draws.chance(0.5):
        event.instrument = world.prop(verb.instruments, plural=False)
        if event.instrument is patient or event.instrument.plural:
            event.instrument = None
    return event


def _patient(world: World, verb: Verb, agent: Referent) -> Referent | None:
    draws, words = world.draws, world.words
    if verb.kind == "create" and verb.lemma != "paint":
        made = world.referent(world.fresh(verb.objects))
        world.props.append(made)
        return made
    people = [
        one
        for one in world.others(agent, *agent.members)
        if verb.kind in SOCIAL and verb.lemma not in IMPERSONAL and words.admits(one.noun, verb.objects)
    ]
    if people and draws.chance(0.75):
        return draws.pick(people)
    if len(world.props) > 9 and not any(words.admits(one.noun, verb.objects) for one in world.props):
        return None
    patient = world.prop(verb.objects)
    return None if patient is agent or patient.noun is agent.noun else patient


def _transfer(world: World, verb: Verb, agent: Referent) -> Event | None:
    words = world.words
    people = [one for one in world.others(agent, *agent.members) if one.noun.animacy == "human"]
    if not people or agent.members:
        return None
    owned = [one for one in world.props if one.owner is agent and words.admits(one.noun, verb.objects)]
    if owned:
        patient = world.draws.pick(owned)
    else:
        patient = world.prop(verb.objects)
        if patient.owner not in (None, agent):
            return None
    return Event(verb, agent, patient, recipient=world.draws.pick(people))


PATHS = {
    "in": ("through", "across", "around"),
    "on": ("across", "along"),
    "by": ("along", "around"),
    "at": ("around", "past"),
    "": ("around",),
}
TARGETS = (
    "furniture",
    "tree",
    "door",
    "window",
    "gate",
    "vehicle",
    "flower",
    "rock",
    "well",
    "fence",
    "wall",
)


def _motion(world: World, verb: Verb, agent: Referent) -> Event:
    draws = world.draws
    if draws.chance(0.5):
        return Event(verb, agent, goal=world.place, path=draws.pick(PATHS[world.place.noun.tag]))
    goal = world.prop(TARGETS, plural=False)
    return Event(verb, agent, goal=goal, path=draws.pick(("to", "towards", "to")))


def take_place(world: World, event: Event) -> None:
    """Change the world by an event that was told."""
    patient, agent, lemma = event.patient, event.agent, event.verb.lemma
    if patient is None:
        return
    if event.verb.frame == "transfer" and event.recipient is not None and lemma not in ("show", "offer"):
        patient.owner, patient.place = event.recipient, None
    elif lemma in TAKEN and not patient.animate and agent in world.cast:
        patient.owner, patient.place = agent, None
    if lemma in CONSUMED and patient in world.props:
        world.props.remove(patient)
    if event.verb.kind in ("perceive", "pursue", "care", "handle", "create", "repair", "clean"):
        patient.deeds = [*patient.deeds[-2:], (event.verb, agent, False)]
        agent.deeds = [*agent.deeds[-2:], (event.verb, patient, True)]


def clause(world: World, event: Event, form: str = "finite", modify: bool = True) -> Phrase:
    """An active clause: *Anna gave the key to Tom*, or with form ``negative`` *Anna did not give ...*."""
    subject = refer(world, event.agent, "agent", SUBJECT, modify)
    return Phrase("S", (subject, predicate(world, event, form)))


def predicate(world: World, event: Event, form: str = "finite") -> Phrase:
    """The verb phrase of an event.

    Parameters
    ----------
    world : World
    event : Event
    form : str
        ``finite``, ``negative``, ``progressive``, ``perfect``, ``recent`` (with *just*), ``unable``,
        ``infinitive`` or ``gerund``.
    """
    past, plural = world.past, event.agent.plural
    if form == "finite" or (form == "progressive" and event.verb.lemma in INSTANT):
        return _with_complements(world, event, finite_verb(event.verb, past, plural))
    if form == "negative":
        base = _with_complements(world, event, nonfinite(event.verb, "infinitive"))
        return Phrase("VP", (auxiliary("do", past, plural), NOT, base), construction="negation")
    if form == "unable":
        base = _with_complements(world, event, nonfinite(event.verb, "infinitive"))
        return Phrase("VP", (*unable(past, plural), base), construction="negation")
    if form == "progressive":
        base = _with_complements(world, event, nonfinite(event.verb, "gerund"))
        return Phrase("VP", (auxiliary("be", past, plural), base), construction="progressive")
    if form in ("perfect", "recent"):
        base = _with_complements(world, event, nonfinite(event.verb, "participle"))
        have = auxiliary("have", past, plural)
        return Phrase("VP", (have, base) if form == "perfect" else (have, Leaf("just", "just", "ADV"), base))
    return _with_complements(world, event, nonfinite(event.verb, form))


def _with_complements(world: World, event: Event, head: Leaf) -> Phrase:
    draws, frame = world.draws, event.verb.frame
    if frame == "transfer" and event.patient is not None and event.recipient is not None:
        return _transfer_phrase(world, event, head)
    if event.goal is not None:
        return Phrase("VP", (head, _path(world, event)), construction="motion")
    parts: list[Child] = [head]
    if event.patient is not None:
        parts += [refer(world, event.patient, "patient")]
        if event.instrument is not None:
            parts.append(prepositional("with", refer(world, event.instrument), "instrument"))
        elif head.tense in TELLING and event.verb.kind in MANNERS and draws.chance(0.12):
            parts.append(adverb(draws.pick(MANNERS[event.verb.kind])))
        return Phrase("VP", tuple(parts), construction="transitive")
    suited = event.verb.kind in MANNERS and event.verb.lemma not in STILL
    if suited and head.tense in TELLING and draws.chance(0.35):
        parts.append(adverb(draws.pick(MANNERS[event.verb.kind])))
    if event.verb.lemma in PLACED or draws.chance(0.3):
        parts.append(here(world))
    return Phrase("VP", tuple(parts), construction="intransitive")


def _transfer_phrase(world: World, event: Event, head: Leaf) -> Phrase:
    assert event.patient is not None
    assert event.recipient is not None
    if event.patient not in world.before + world.now and world.draws.chance(0.5):
        recipient = refer(world, event.recipient, "recipient")
        return Phrase("VP", (head, recipient, refer(world, event.patient, "patient")), construction="double object")
    patient = refer(world, event.patient, "patient")
    to = prepositional("to", refer(world, event.recipient), "recipient")
    return Phrase("VP", (head, patient, to), construction="prepositional dative")


def _path(world: World, event: Event) -> Phrase:
    assert event.goal is not None
    if event.goal is world.place:
        return prepositional(event.path, Phrase("NP", definite(event.goal)), "location")
    return prepositional(event.path, refer(world, event.goal), "location")


def here(world: World) -> Phrase:
    """Where the scene is: *in the garden*."""
    return prepositional(world.place.noun.tag or "in", Phrase("NP", definite(world.place)), "location")


def passive(world: World, event: Event) -> Phrase:
    """A passive clause with its agent: *the key was found by Anna*."""
    assert event.patient is not None
    subject = refer(world, event.patient, "patient", SUBJECT, modify=True)
    be = auxiliary("be", world.past, event.patient.plural)
    by = prepositional("by", refer(world, event.agent), "agent")
    inner = Phrase("VP", (nonfinite(event.verb, "participle"), by))
    return Phrase("S", (subject, Phrase("VP", (be, inner))), construction="passive")
