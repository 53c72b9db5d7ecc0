"""Beginnings: who the story is about, where a scene lies, what the weather is like."""

from brainexp.grammar.cast import Referent, World, scene_place
from brainexp.grammar.events import here
from brainexp.grammar.inflection import article
from brainexp.grammar.manner import MANNERS
from brainexp.grammar.phrase import (
    EXPLETIVE,
    THERE,
    Leaf,
    Phrase,
    adjective,
    adverb,
    noun,
    prepositional,
    verb,
)
from brainexp.grammar.reference import SUBJECT, definite, possessor, refer
from brainexp.grammar.telling import Passage, Plan, fronted, linked, says

#: Things that are put into or onto something, and what they are put into.
BOXES = ("box", "basket", "bag", "chest", "drawer", "cupboard", "sack", "trunk", "suitcase", "crate")
STORES = (*BOXES, "furniture")
HOMES = ("cottage", "mill", "house", "castle", "farm", "inn", "palace", "tower", "lighthouse", "hut", "cabin")
#: Ways to begin a scene, with the time of day that they bring.
DAYS = (
    ("one morning", "morning"),
    ("the next day", "day"),
    ("one evening", "evening"),
    ("a few days later", "day"),
    ("the next morning", "morning"),
    ("one afternoon", "afternoon"),
    ("early in the morning", "morning"),
    ("late in the evening", "evening"),
    ("that night", "night"),
    ("the following week", "day"),
)
DARK = ("evening", "night")
OUTWARDS = ("go", "walk", "hurry", "go", "travel", "run")
HOMEWARDS = ("return", "hurry", "return", "go")
COMPANIONS = (("best friend", "old friend", "friend"), ("neighbour", "good friend", "helper"))


def hero(world: World) -> Passage:
    """Introduce a person: existence, home, and something of their own."""
    draws = world.draws
    one = world.person()
    one.home = world.referent(world.fresh(HOMES))
    world.cast.append(one)
    be = Phrase("VP", (_be(world), refer(world, one, "theme")), construction="existential")
    tree = Phrase("S", (THERE, be), construction="existential")
    if world.past:
        tree = fronted(adverb(draws.pick(("once", "long ago", "once upon a time", "many years ago"))), ",", tree)
    yield Plan(tree, "start")
    one.home.mentioned = True
    lives = verb(world.words.verbs["belong", "live"], world.past, False)
    home = prepositional("in", _a(one.home), "location")
    subject = refer(world, one, "agent", SUBJECT)
    yield Plan(Phrase("S", (subject, Phrase("VP", (lives, home))), construction="intransitive"), "elaboration")
    if draws.chance(0.7):
        yield own(world, one)


def own(world: World, one: Referent) -> Plan:
    """*She had a red kite*: a possession that later sentences return to."""
    thing = world.new_prop(("toy", "treasure", "musical", "garment", "light", "basket", "umbrella"), plural=False)
    subject = refer(world, one, "experiencer", SUBJECT)
    had = says(world, "have", one.plural, refer(world, thing, "theme"))
    thing.owner = one
    return Plan(Phrase("S", (subject, had)), "elaboration")


def companion(world: World) -> Passage:
    """Introduce somebody by their tie to one who is known: *her best friend was a fox named Rusty*."""
    draws = world.draws
    known = world.cast[-1]
    new = world.animal() if draws.chance(0.45) else world.person()
    tie = draws.pick(COMPANIONS[len(world.cast) > 1]).split()
    owner = possessor(world, known)
    # The tie describes the newcomer, but the hearer learns who that is only after the verb.
    leaves = [Leaf(form, form, "ADJ") for form in tie[:-1]]
    friend = Leaf(tie[-1], tie[-1], "NOUN", "none", "singular", "person", "human")
    world.cast.append(new)
    subject = Phrase("NP", (owner, *leaves, friend), "theme")
    yield Plan(linked(world, subject, False, refer(world, new, "theme")), "elaboration")
    if draws.chance(0.5) and new.noun.animacy == "human":
        yield own(world, new)


def encounter(world: World) -> Passage:
    """Somebody new joins a story that is under way: *in the market, Anna met a sailor named Otto*."""
    new = world.animal() if world.draws.chance(0.45) else world.person()
    known = world.cast[0]
    world.cast.append(new)
    subject = refer(world, known, "agent", SUBJECT)
    meet = verb(world.words.verbs["pursue", "meet"], world.past, known.plural)
    vp = Phrase("VP", (meet, refer(world, new, "patient")), construction="transitive")
    yield Plan(fronted(here(world), ",", Phrase("S", (subject, vp), construction="transitive")), "sequence")
    if world.draws.chance(0.5) and new.noun.animacy == "human":
        yield own(world, new)


def arrival(world: World) -> Passage:
    """Open a scene at a place of the topic, with one or two of the cast going there."""
    draws = world.draws
    goer = draws.pick(world.cast)
    home = goer.home if draws.chance(0.35) else None
    others = [one for one in world.cast if one is not goer]
    if others and draws.chance(0.7):
        goer = together(world, goer, draws.pick(others))
    world.move_to(home or scene_place(world), goer.members or (goer,))
    world.now.clear()
    world.before.clear()
    going = world.words.verbs["motion", draws.pick(HOMEWARDS if home else OUTWARDS)]
    if not world.words.admits(goer.noun, going.subjects):
        going = world.words.verbs["motion", "go"]
    subject = refer(world, goer, "agent", SUBJECT)
    to = prepositional("to", place_phrase(world), "location")
    vp = Phrase("VP", (verb(going, world.past, goer.plural), to), construction="motion")
    form, world.hour = draws.pick(DAYS)
    day = adverb(form)
    yield Plan(fronted(day, ",", Phrase("S", (subject, vp), construction="motion")), "start")
    if draws.chance(0.55):
        yield from weather(world)
    if draws.chance(0.55):
        yield from surroundings(world)


def together(world: World, first: Referent, second: Referent) -> Referent:
    """A group of two that acts as one."""
    for group in world.groups:
        if set(group.members) == {first, second}:
            return group
    group = Referent(world.count, first.noun, "plural", plural=True, members=(first, second))
    world.count += 1
    world.groups.append(group)
    return group


def place_phrase(world: World) -> Phrase:
    """*The garden*, with the property that the place keeps."""
    place = world.place
    place.mentioned = True
    trait = (adjective(place.trait, place.number, "given"),) if place.trait and world.draws.chance(0.5) else ()
    return Phrase("NP", definite(place, *trait))


def joining(world: World) -> Passage:
    """Somebody who stayed behind comes along."""
    absent = [one for one in world.cast if one not in world.company]
    if not absent:
        return
    one = world.draws.pick(absent)
    one.place = world.place
    subject = refer(world, one, "agent", SUBJECT)
    come = says(world, "come", one.plural, prepositional("to", place_phrase(world), "location"), adverb("too"))
    tree = Phrase("S", (subject, come), construction="motion")
    yield Plan(fronted(adverb(world.draws.pick(("a little later", "soon", "after a while"))), ",", tree), "sequence")


def weather(world: World) -> Passage:
    """What sky and air do."""
    draws, words = world.draws, world.words
    if draws.chance(0.35):
        time = words.nouns[world.hour]
        quality = words.adjectives[draws.pick(SEASONS if world.hour not in DARK else SEASONS[1:])]
        a = article(quality.lemma)
        np = Phrase("NP", (Leaf(a, "a", "DET"), adjective(quality), noun(time, False)))
        yield Plan(linked(world, EXPLETIVE, False, np), "background")
        return
    what, lemma = draws.pick(NIGHT_SKIES if world.hour in DARK else SKIES)
    thing = words.nouns[what]
    the = Leaf("the", "the", "DET")
    many = what in ("star", "cloud")
    act = verb(words.verbs["nature", lemma], world.past, many)
    manner = adverb(draws.pick(SKY_MANNERS[lemma]))
    over = prepositional("on" if lemma == "fall" else "over", Phrase("NP", definite(world.place)), "location")
    np = Phrase("NP", (the, noun(thing, many)), "agent")
    vp = Phrase("VP", (act, draws.pick((manner, over))), construction="intransitive")
    yield Plan(Phrase("S", (np, vp), construction="intransitive"), "background")


SEASONS = (
    ("fate", "sunny"),
    ("weatherish", "cold"),
    ("weatherish", "warm"),
    ("look", "beautiful"),
    ("fate", "dark"),
    ("fate", "quiet"),
    ("fate", "peaceful"),
    ("look", "lovely"),
    ("fate", "pleasant"),
)
SKIES = (
    ("sun", "shine"),
    ("sun", "shine"),
    ("rain", "fall"),
    ("snow", "fall"),
    ("wind", "blow"),
    ("breeze", "blow"),
    ("cloud", "drift"),
    ("fog", "drift"),
)
NIGHT_SKIES = (("moon", "shine"), ("star", "shine"), ("star", "twinkle"), ("rain", "fall"), ("wind", "blow"))
SKY_MANNERS = {
    "shine": ("brightly", "softly"),
    "fall": ("softly", "steadily", "for hours"),
    "twinkle": ("brightly",),
    "blow": ("gently", "hard", "for hours"),
    "drift": ("slowly", "silently"),
}


def surroundings(world: World) -> Passage:
    """What is to be seen: an existential with a verb that agrees with what follows it."""
    draws = world.draws
    thing = world.prop(world.topic.props)
    if thing.mentioned:
        return
    if draws.chance(0.4) and not thing.animate and thing.noun.kind in PORTABLE:
        support = world.prop(STORES, plural=False)
        if support is not thing and not support.plural:
            thing.place = support
    thing_phrase = refer(world, thing, "theme")
    if thing.place is not None:
        where = prepositional(thing.place.noun.tag, refer(world, thing.place), "location")
    else:
        where = here(world)
    be = Phrase("VP", (_be(world, thing.plural), thing_phrase, where), construction="existential")
    yield Plan(Phrase("S", (THERE, be), construction="existential"), "background")
    nature = [
        one
        for one in world.words.verbs.values()
        if one.kind in ("nature", "noise") and world.words.admits(thing.noun, one.subjects)
    ]
    if nature and draws.chance(0.4):
        act = verb(draws.pick(nature), world.past, thing.plural)
        subject = refer(world, thing, "agent", SUBJECT, modify=True)
        tail = (adverb(draws.pick(MANNERS["noise"])),) if thing.animate else ()
        vp = Phrase("VP", (act, *tail), construction="intransitive")
        yield Plan(Phrase("S", (subject, vp), construction="intransitive"), "elaboration")


PORTABLE = frozenset(
    {
        "fruit",
        "baked",
        "snack",
        "toy",
        "treasure",
        "document",
        "garment",
        "utensil",
        "tool",
        "light",
        "vegetable",
        "sweet",
        "dish",
        "musical",
        "natural_object",
        "picture",
    }
)


def _be(world: World, plural: bool = False) -> Leaf:
    return verb(world.words.verbs["belong", "be"], world.past, plural)._replace(pos="AUX")


def _a(place: Referent) -> Phrase:
    lead = (adjective(place.trait, place.number, "new"),) if place.trait else ()
    first = lead[0].form if lead else place.noun.lemma
    a = Leaf(article(first), "a", "DET", "none", "singular", "none", "none", place.number, "new")
    return Phrase("NP", (a, *lead, noun(place.noun, False, place.number, "new")))
