"""Passages whose last sentence follows from the ones before it."""

from brainexp.grammar.cast import Referent, World
from brainexp.grammar.events import clause, fill, take_place
from brainexp.grammar.inflection import article, comparative
from brainexp.grammar.lexicon import Noun
from brainexp.grammar.phrase import Leaf, Phrase, adjective, adverb, noun, prepositional, verb
from brainexp.grammar.reference import NUMERALS, SUBJECT, definite, name, refer
from brainexp.grammar.setting import BOXES
from brainexp.grammar.speech import people
from brainexp.grammar.telling import Passage, Plan, continued, fronted, hushed_subject, linked, says

SCALES: dict[str, tuple[str, ...]] = {
    "person": ("old", "young", "tall", "strong", "fast", "kind", "brave", "wise"),
    "animal": ("big", "small", "fast", "slow", "old", "strong", "brave"),
    "inanimate": ("big", "small", "heavy", "old", "light", "new"),
}
#: Groups of lasting adjectives that could contradict a comparison.
MEASURES = frozenset({"size", "height", "length", "weight", "age", "age_person", "wear", "sturdiness"})
#: What is true of a class: verb of state and the noun that follows it.
FACTS: dict[str, tuple[tuple[str, str], ...]] = {
    "bird": (("have", "feather"), ("have", "wing")),
    "fish": (("have", "fin"), ("need", "water"), ("have", "scale")),
    "insect": (("have", "leg"), ("have", "head")),
    "tree": (("have", "root"), ("have", "branch"), ("need", "water")),
    "flower": (("have", "petal"), ("need", "water")),
    "fruit": (("have", "seed"),),
    "animal": (("have", "eye"), ("need", "food")),
    "plant": (("have", "root"), ("need", "water")),
}
#: Classes that a story says by name, as in *a sparrow is a bird*.
SAYABLE = ("bird", "fish", "insect", "tree", "flower", "fruit", "vegetable", "toy", "tool", "vehicle")


def handing_over(world: World) -> Passage:
    """*Anna had a key. She gave it to Tom. Now the key belonged to Tom.*"""
    draws = world.draws
    givers = people(world)
    if len(givers) < 2:
        return
    giver = draws.pick(givers)
    owned = [one for one in world.props if one.owner is giver and not one.animate]
    if not owned:
        return
    thing = draws.pick(owned)
    give = world.words.verbs["transfer", draws.pick(("give", "hand", "sell"))]
    if not world.words.admits(thing.noun, give.objects):
        return
    event = fill(world, give, giver)
    if event is None:
        return
    event.patient, taker = thing, event.recipient
    assert taker is not None
    yield Plan(clause(world, event), "sequence")
    take_place(world, event)
    if draws.chance(0.6):
        yield from belongs(world, thing, taker, giver)


def belongs(world: World, thing: Referent, taker: Referent, giver: Referent) -> Passage:
    """Say where a thing is after it was handed over: it belongs to the taker, and the giver has it no more."""
    draws = world.draws
    style = draws.uniform()
    if style < 0.45:
        subject = refer(world, thing, "theme", SUBJECT)
        to = prepositional("to", refer(world, taker, "recipient"))
        tree = Phrase("S", (subject, says(world, "belong", thing.plural, to)), construction="stative")
    elif style < 0.75:
        subject = refer(world, taker, "experiencer", SUBJECT)
        tree = Phrase(
            "S",
            (subject, says(world, "have", taker.plural, refer(world, thing, "theme"))),
            construction="stative",
        )
    else:
        subject = refer(world, giver, "experiencer", SUBJECT)
        no_longer = adverb("no longer")
        had = says(world, "have", giver.plural, refer(world, thing, "theme"))
        tree = Phrase("S", (subject, no_longer, had), construction="negation")
    now = Phrase("ADVP", (Leaf("now", "now", "ADV"),))
    yield Plan(tree._replace(children=(now, *tree.children)), "inference")


def still_there(world: World) -> Passage:
    """A fact from long ago comes back: who has a thing, or where it lies."""
    draws = world.draws
    held = [one for one in world.props if one.owner in world.company and one.mentioned and not one.animate]
    if not held:
        return
    thing = draws.pick(held)
    owner = thing.owner
    assert owner is not None
    thing.owner = None  # so that the sentence does not say "Anna still had Anna's key"
    subject = refer(world, owner, "experiencer", SUBJECT)
    had = says(world, "have", owner.plural, refer(world, thing, "theme"))
    thing.owner = owner
    yield Plan(Phrase("S", (subject, adverb("still"), had), construction="stative"), "elaboration")


def storing(world: World) -> Passage:
    """*Anna put the key in the box. Then Tom carried the box to the mill. So the key was in the mill too.*"""
    draws = world.draws
    if not people(world):
        return
    one = draws.pick(people(world))
    thing = world.prop(("treasure", "toy", "document", "fruit", "snack", "garment", "natural_object"))
    box = world.prop(BOXES, plural=False)
    if box.plural or box is thing or thing.owner not in (None, one) or box.owner not in (None, one) or thing.animate:
        return
    subject = refer(world, one, "agent", SUBJECT)
    put = verb(world.words.verbs["belong", "put"], world.past, one.plural)
    patient = refer(world, thing, "patient")
    where = prepositional("in", refer(world, box), "location")
    yield Plan(Phrase("S", (subject, Phrase("VP", (put, patient, where))), construction="locative"), "sequence")
    thing.place, thing.owner = box, None
    if draws.chance(0.55):
        mover = draws.pick(people(world))
        place = world.referent(world.fresh(("building", "room")))
        subject = refer(world, mover, "agent", SUBJECT)
        take = verb(world.words.verbs["belong", "take"], world.past, mover.plural)
        moved = refer(world, box, "patient")
        to = prepositional("to", Phrase("NP", definite(place)), "location")
        tree = Phrase("S", (subject, Phrase("VP", (take, moved, to))), construction="locative")
        yield continued(world, "sequence", tree) if draws.chance(0.5) else Plan(tree, "sequence")
        at = prepositional(place.noun.tag, Phrase("NP", definite(place)), "location")
        theme = Phrase("NP", definite(thing), "theme")
        world.now.append(thing)
        yield continued(world, "inference", linked(world, theme, thing.plural, at, adverb("too")))
        world.props = [one for one in world.props if one not in (thing, box)]
    elif draws.chance(0.5):
        yield Plan(_contains(world, box, thing), "inference")


def _contains(world: World, box: Referent, thing: Referent) -> Phrase:
    subject = Phrase("NP", definite(box), "theme")
    now = adverb("now")
    world.now.append(box)
    contains = says(world, "contain", box.plural, refer(world, thing, "theme"))
    return Phrase("S", (now, subject, contains), construction="stative")


def comparison(world: World) -> Passage:
    """Two comparisons and the third that follows."""
    draws = world.draws
    group = draws.pick(("person", "animal", "inanimate"))
    if group == "person":
        pool = people(world)
    elif group == "animal":
        pool = [one for one in (*world.company, *world.props) if one.noun.animacy == "animal" and not one.plural]
    else:
        pool = [
            one
            for one in world.props
            if one.noun.animacy == "inanimate"
            and one.noun.kind != "tree"
            and not one.noun.mass
            and not one.plural
            and one.noun.kind not in ("fire", "weather")
        ]
    # What is huge by nature must not turn out smaller than a bun.
    pool = [one for one in pool if one.mentioned and (one.trait is None or one.trait.group not in MEASURES)]
    if len(pool) < 2:
        return
    scale = draws.pick(SCALES[group])
    order = shuffled(world, pool)[:3]
    if any(one.trait and scale in (one.trait.antonym, one.trait.lemma) for one in order):
        return
    yield Plan(exceeds(world, order[0], order[1], scale), "elaboration")
    if len(order) < 3:
        return
    conjunction = draws.chance(0.5)
    second = exceeds(world, order[1], order[2], scale)
    if conjunction:
        second = second._replace(children=(Phrase("ADVP", (Leaf("and", "and", "CCONJ"),)), *second.children))
    yield Plan(second, "elaboration")
    yield continued(world, "inference", exceeds(world, order[0], order[2], scale))


def shuffled(world: World, pool: list[Referent]) -> list[Referent]:
    """Return referents in random order."""
    left, order = list(pool), []
    while left:
        order.append(left.pop(int(world.draws.uniform() * len(left))))
    return order


def exceeds(world: World, more: Referent, less: Referent, scale: str) -> Phrase:
    """*Anna was taller than Tom*; both by name, for a chain of pronouns would not be clear."""
    subject = Phrase("NP", _called(world, more), "theme")
    standard = Phrase("NP", _called(world, less), "theme")
    than = Phrase("PP", (Leaf("than", "than", "ADP"), standard))
    degree = Leaf(comparative(scale), scale, "ADJ", kind="comparison")
    return linked(world, subject, False, Phrase("ADJP", (degree, than)))._replace(construction="comparison")


def _called(world: World, one: Referent) -> tuple[Leaf, ...]:
    world.now.append(one)
    return (name(one),) if one.name else definite(one)


def taxonomy(world: World) -> Passage:
    """*A sparrow is a bird, and birds have wings. So the sparrow had wings.*"""
    draws, words = world.draws, world.words
    pool = [
        one
        for one in world.props
        if one.mentioned
        and not one.noun.mass
        and not one.name
        and any(kind in SAYABLE for kind in words.hypernyms(one.noun))
    ]
    pool = [
        one for one in pool if words.nouns.get(one.noun.kind, one.noun) is not one.noun and one.noun not in world.taught
    ]
    if not pool:
        return
    one = draws.pick(pool)
    world.taught.append(one.noun)
    kind = next(kind for kind in words.hypernyms(one.noun) if kind in SAYABLE)
    yield Plan(is_a(one.noun, words.nouns.get(kind) or _class_noun(kind)), "elaboration")
    if kind not in FACTS or draws.chance(0.4):
        return
    lemma, what = draws.pick(FACTS[kind])
    above = words.nouns[kind]
    part = words.nouns[what]
    has = verb(words.verbs["belong", lemma], False, True)
    many = Phrase("NP", (noun(part, not part.mass),), "theme")
    general = Phrase(
        "S", (Phrase("NP", (noun(above, True),), "theme"), Phrase("VP", (has, many))), construction="generic"
    )
    yield Plan(general, "elaboration")
    subject = refer(world, one, "theme", SUBJECT)
    own = says(world, lemma, one.plural, many)
    yield continued(world, "inference", Phrase("S", (subject, own), construction="stative"))


def is_a(below: Noun, above: Noun) -> Phrase:
    """A hypernym statement, in the present whatever the tense of the story."""
    be = Leaf("is", "be", "AUX", "present", "singular")
    subject = Phrase("NP", _indefinite(below), "theme")
    return Phrase("S", (subject, Phrase("VP", (be, Phrase("NP", _indefinite(above), "theme")))), construction="generic")


def _indefinite(word: Noun) -> tuple[Leaf, ...]:
    return (Leaf(article(word.lemma), "a", "DET", "none", "singular"), noun(word, False))


def _class_noun(kind: str) -> Noun:
    return Noun(kind, kind + "s", kind, "inanimate", "", False)


def counting(world: World) -> Passage:
    """*Anna had five apples. Then she sold two of the apples. Now she had three apples.*"""
    draws, words = world.draws, world.words
    if not people(world):
        return
    one = draws.pick(people(world))
    word = world.fresh(("fruit", "baked", "snack", "vegetable"))
    if word.mass:
        return
    total = 3 + int(draws.uniform() * 7)
    gone = 1 + int(draws.uniform() * (total - 1))
    apples = world.referent(word, plural=True)
    subject = refer(world, one, "experiencer", SUBJECT)
    yield Plan(Phrase("S", (subject, says(world, "have", one.plural, _number(total, apples)))), "sequence")
    world.now.append(apples)
    subject = refer(world, one, "agent", SUBJECT)
    them = refer(world, apples) if draws.chance(0.5) else Phrase("NP", definite(apples))
    some = Phrase("NP", (_numeral(gone), Phrase("PP", (Leaf("of", "of", "ADP"), them))), "patient")
    part = draws.pick((("ingest", "eat"), ("belong", "lose"), ("transfer", "sell")))
    eat = verb(words.verbs[part], world.past, one.plural)
    tree = Phrase("S", (subject, Phrase("VP", (eat, some))), construction="transitive")
    yield Plan(fronted(adverb("then"), "", tree) if draws.chance(0.5) else tree, "sequence")
    subject = refer(world, one, "experiencer", SUBJECT)
    left = says(world, "have", one.plural, _number(total - gone, apples))
    tree = Phrase("S", (adverb("now"), subject, left), construction="stative")
    yield Plan(tree, "inference")


def _number(count: int, things: Referent) -> Phrase:
    given = "given" if things.mentioned else "new"
    things.mentioned = True
    head = noun(things.noun, count != 1, things.number, given)
    return Phrase("NP", (_numeral(count), head), "theme")


def _numeral(count: int) -> Leaf:
    return Leaf(NUMERALS[count], NUMERALS[count], "NUM")


def quality_of(world: World) -> Passage:
    """A group of things that is one way: agreement across what lies between subject and verb."""
    things = [
        one
        for one in world.props
        if one.mentioned
        and one.trait is not None
        and not one.stated
        and not one.animate
        and "material" not in one.trait.group
    ]
    if not things:
        return
    one = world.draws.pick(things)
    assert one.trait is not None
    subject = hushed_subject(world, one)
    seem = world.draws.pick(("look", "seem", "look"))
    vp = says(world, seem, one.plural, Phrase("ADJP", (adjective(one.trait),)))
    yield Plan(Phrase("S", (subject, vp), construction="stative"), "elaboration")
