"""Passages of premises and the sentence that follows, in the forms that the reasoning probes ask about."""

from brainexp.grammar.asides import somewhere
from brainexp.grammar.cast import Referent, World
from brainexp.grammar.phrase import NOT, Phrase, connective, prepositional, verb
from brainexp.grammar.reasoning import MEASURES, SCALES, belongs, exceeds, shuffled
from brainexp.grammar.reference import SUBJECT, definite, demonstrative, refer
from brainexp.grammar.speech import people
from brainexp.grammar.telling import Passage, Plan, adjectival, fronted, linked

OBJECTS = ("treasure", "toy", "garment", "document", "musical", "light", "utensil")
TAKING = (("belong", "take"), ("handle", "buy"), ("handle", "borrow"))


def taking_over(world: World) -> Passage:
    """*Tom bought a key from Anna near the mill. Now Tom had the key.*"""
    draws = world.draws
    if len(people(world)) < 2:
        return
    taker, giver = shuffled(world, people(world))[:2]
    owned = [one for one in world.props if one.owner is giver and not one.animate]
    thing = draws.pick(owned) if owned else world.even(OBJECTS, draws.chance(0.3))
    if thing not in world.props:
        world.props.append(thing)
    thing.owner = None  # so that it is not called Anna's while it changes hands
    subject = refer(world, taker, "agent", SUBJECT)
    take = verb(world.words.verbs[draws.pick(TAKING)], world.past, taker.plural)
    patient = refer(world, thing, "theme")
    source = prepositional("from", refer(world, giver), "recipient")
    where = (somewhere(world),) if draws.chance(0.5) else ()
    vp = Phrase("VP", (take, patient, source, *where), construction="transitive")
    yield Plan(Phrase("S", (subject, vp), construction="transitive"), "sequence")
    thing.owner, thing.place = taker, None
    yield from belongs(world, thing, taker, giver)


def moved_boxes(world: World) -> Passage:
    """*A box with a key went to the mill, a bag with a map to the inn. So the key was found at the mill.*"""
    draws = world.draws
    if not people(world):
        return
    boxes = [world.even(("container",), plural=False) for _ in range(2)]
    things = [world.even(kinds, plural=False) for kinds in (("treasure", "toy"), ("document", "utensil"))]
    places = [world.referent(world.fresh(("building", "open_place", "water_place"))) for _ in range(2)]
    if boxes[0].noun is boxes[1].noun or places[0].noun is places[1].noun:
        return
    for box, thing, place in zip(boxes, things, places, strict=True):
        went = verb(world.words.verbs["motion", "go"], world.past, False)
        load = prepositional("with", refer(world, thing), "theme")
        subject = Phrase("NP", (refer(world, box, "theme"), load), "theme")
        vp = Phrase("VP", (went, _to(place)), construction="motion")
        yield Plan(Phrase("S", (subject, vp), construction="motion"), "sequence")
    at = draws.pick((0, 1))
    finder = draws.pick(people(world))
    subject = refer(world, finder, "agent", SUBJECT)
    found = verb(world.words.verbs["perceive", "find"], world.past, finder.plural)
    patient = Phrase("NP", definite(things[at]), "patient")
    world.now.append(things[at])
    where = prepositional(places[at].noun.tag, Phrase("NP", definite(places[at])), "location")
    tree = Phrase("S", (subject, Phrase("VP", (found, patient, where))), construction="transitive")
    yield Plan(fronted(connective("so"), "", tree), "inference")


def _to(place: Referent) -> Phrase:
    return prepositional("to", Phrase("NP", definite(place)), "location")


def ranking(world: World) -> Passage:
    """*Anna was taller than Tom. Tom was taller than Lucy. So Anna was taller than Lucy.*"""
    draws = world.draws
    scale = draws.pick(SCALES["person"])
    known = [one for one in world.cast if one.noun.animacy == "human" and not _measured(one, scale)]
    three = shuffled(world, known)[:2]
    while len(three) < 3:
        three.append(world.person())  # somebody whom the others know
    if len({one.name for one in three}) < 3:
        return
    first, second, third = shuffled(world, three)
    premises = [(first, second), (second, third)]
    if draws.chance(0.5):
        premises.reverse()
    for more, less in premises:
        yield Plan(exceeds(world, more, less, scale), "elaboration")
        more.mentioned = less.mentioned = True
    yield Plan(fronted(connective("so"), "", exceeds(world, first, third, scale)), "inference")


def _measured(one: Referent, scale: str) -> bool:
    trait = one.trait
    return trait is not None and (trait.group in MEASURES or scale in (trait.lemma, trait.antonym))


def denied(world: World) -> Passage:
    """*The box near the mill was not heavy. That box near the mill was very light.*"""
    draws = world.draws
    things = [one for one in world.props if one.mentioned and one.trait and one.trait.antonym and not one.name]
    if not things:
        return
    one = draws.pick(things)
    trait = one.trait
    assert trait is not None
    where = somewhere(world)
    the, that = (
        Phrase("NP", (Phrase("NP", words), where), "theme") for words in (definite(one), demonstrative(one, near=False))
    )
    world.now.append(one)
    if draws.chance(0.5):
        other = world.words.adjectives[trait.group, trait.antonym]
        tree = linked(world, the, one.plural, NOT, adjectival(other))._replace(construction="negation")
    else:
        tree = linked(world, the, one.plural, adjectival(trait, "quite"))
    yield Plan(tree, "elaboration")
    world.now.append(one)
    yield Plan(linked(world, that, one.plural, adjectival(trait, "very")), "inference")
