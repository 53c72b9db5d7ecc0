"""Asides: what lies side by side, what comes to mind, what turns back on its own subject.

They draw words evenly instead of by frequency, so that rare ones occur too.
"""

from brainexp.grammar.cast import LASTING, Referent, World
from brainexp.grammar.lexicon import Verb
from brainexp.grammar.phrase import (
    AND,
    THAT,
    THERE,
    Leaf,
    Phrase,
    adjective,
    auxiliary,
    nonfinite,
    prepositional,
    verb,
)
from brainexp.grammar.reasoning import is_a
from brainexp.grammar.reference import SUBJECT, definite, demonstrative, name, refer, reflexive
from brainexp.grammar.setting import together
from brainexp.grammar.speech import people
from brainexp.grammar.telling import Passage, Plan, linked, says, with_reason

THINGS = ("tool", "container", "utensil", "garment", "toy", "treasure", "fruit")
PUT = (("belong", "put"), ("handle", "hide"), ("perceive", "find"), ("belong", "leave"), ("belong", "keep"))
KIN = {
    "male": ("brother", "father", "uncle", "nephew", "grandson", "grandfather"),
    "female": ("sister", "mother", "aunt", "niece", "granddaughter", "grandmother"),
}
#: Deeds that may turn back on who does them.
REFLEXIVES = (
    ("perceive", "admire"),
    ("clean", "wash"),
    ("belong", "praise"),
    ("perceive", "watch"),
    ("care", "scold"),
    ("experience", "surprise"),
    ("care", "teach"),
)
#: What may come to mind, and the verbs for that; those of `SPOKEN` take *of*.
MEMORIES = (
    *("plant", "vehicle", "device", "cloth", "picture", "natural_object", "sky", "fire", "part"),
    *("news", "game", "idea", "plan", "secret", "problem", "question", "answer", "wish"),
    *("reptile", "fish", "vegetable", "baked", "pig", "calf"),
)
SPOKEN = (("belong", "speak"), ("say", "think"), ("activity", "dream"))
KNOWN = (("say", "know"), ("say", "remember"), ("create", "draw"), ("perceive", "notice"))
CLAIMS = ("say", "know", "think", "explain", "believe", "announce")
CLASSES = ("bird", "fish", "insect", "tree", "flower", "fruit", "vegetable", "tool", "toy", "vehicle")
#: What strangers do to each other: people and animals, or people only.
MUTUAL = (
    *(("pursue", lemma) for lemma in ("follow", "meet")),
    *(("perceive", lemma) for lemma in ("see", "watch", "hear")),
    ("care", "help"),
)
SOCIAL = (
    *MUTUAL,
    ("pursue", "lead"),
    ("perceive", "notice"),
    *(("care", lemma) for lemma in ("greet", "visit", "protect", "thank", "comfort", "call")),
)
STRANGERS = ((("worker", "animal"), MUTUAL), (("worker", "man", "woman"), SOCIAL))
RESTING = (
    *(("activity", lemma) for lemma in ("sleep", "rest", "wait", "tremble")),
    *(("motion", lemma) for lemma in ("hurry", "wander", "run", "go")),
)
PLACES = ("building", "open_place", "water_place")


def side_by_side(world: World) -> Passage:
    """*There were keys near a box. The keys near the box were rusty. Anna hid these keys in this box.*"""
    draws = world.draws
    plural = draws.chance(0.5)
    first = world.even(THINGS, plural)
    box = draws.chance(0.4)
    second = world.even(("container",) if box else THINGS, not plural)
    qualities = world.words.adjectives_of(first.noun)
    if first.noun is second.noun or not qualities:
        return
    near = draws.pick(("near", "near", "behind", "beside", "next to"))
    quality = draws.pick(qualities)
    first.trait = quality if quality.group in LASTING else None
    world.hushed = first
    there = (refer(world, first, "theme"), prepositional(near, refer(world, second), "location"))
    world.hushed = None
    be = Phrase("VP", (auxiliary("be", world.past, plural), *there), construction="existential")
    yield Plan(Phrase("S", (THERE, be), construction="existential"), "background")
    if len(world.props) < 9:
        world.props += [first, second]
    world.now += [first, second]
    where = prepositional(near, Phrase("NP", definite(second)), "location")
    subject = Phrase("NP", (Phrase("NP", definite(first)), where), "theme")
    seen = Phrase("ADJP", (adjective(quality),))
    # "The hat looks wool" is no English, "the hat is wool" nearly is.
    if "material" in quality.group or draws.chance(0.5):
        tree = linked(world, subject, plural, seen)
    else:
        tree = Phrase("S", (subject, says(world, draws.pick(("look", "seem")), plural, seen)))
    yield Plan(tree, "elaboration")
    if box and people(world):
        yield Plan(_put(world, first, second), "sequence")


def _put(world: World, thing: Referent, box: Referent) -> Phrase:
    draws = world.draws
    one = draws.pick(people(world))
    subject = refer(world, one, "agent", SUBJECT)
    put = verb(world.words.verbs[draws.pick(PUT)], world.past, one.plural)
    near = draws.chance(0.5)
    patient = Phrase("NP", demonstrative(thing, near), "theme")
    where = prepositional("in", Phrase("NP", demonstrative(box, near)), "location")
    world.now += [thing, box]
    return Phrase("S", (subject, Phrase("VP", (put, patient, where))), construction="locative")


def musing(world: World) -> Passage:
    """*Anna thought of a sparrow and a bun near the mill.*"""
    draws = world.draws
    if not people(world):
        return
    one = draws.pick(people(world))
    subject = refer(world, one, "experiencer", SUBJECT)
    spoken = draws.chance(0.6)
    act = verb(world.words.verbs[draws.pick(SPOKEN if spoken else KNOWN)], world.past, one.plural)
    first, second = (refer(world, world.even(MEMORIES, draws.chance(0.2))) for _ in range(2))
    both = Phrase("NP", (first, AND, second), "theme", "coordination")
    what = prepositional("of", both, "theme") if spoken else both
    vp = Phrase("VP", (act, what, somewhere(world)), construction="transitive")
    yield Plan(Phrase("S", (subject, vp), construction="transitive"), "elaboration")


def in_passing(world: World) -> Passage:
    """*A baker was followed by two hens while an owl that a fox had seen was helping a miller.*"""
    draws = world.draws
    verbs = world.words.verbs
    kinds, acts = draws.pick(STRANGERS)
    several = [world.even(kinds, draws.chance(0.3)) for _ in range(4)]
    first, second, third, fourth = (refer(world, one, "agent") for one in several)
    past, plural = world.past, several[0].plural
    style = draws.uniform()
    one, two = (verbs[draws.pick(acts)] for _ in range(2))
    if style < 0.35:
        by = prepositional("by", second, "agent")
        inner = Phrase("VP", (nonfinite(one, "participle"), by))
        vp = Phrase("VP", (auxiliary("be", past, plural), inner))
        tree = Phrase("S", (first._replace(role="patient"), vp), construction="passive")
    elif style < 0.65:
        object_first = draws.chance(0.5)
        seen = Leaf("that", "that", "PRON", "none", "none", "none", "none", several[0].number, "pronoun")
        that = Phrase("NP", (seen,), "patient" if object_first else "agent")
        # The verb agrees with whoever acts, which is not always the noun before it.
        act = verb(one, past, several[1 if object_first else 0].plural)
        who = (
            Phrase("S", (second, Phrase("VP", (act,))))
            if object_first
            else Phrase("VP", (act, second._replace(role="patient")))
        )
        kind = "object relative" if object_first else "subject relative"
        rc = Phrase("RC", (that, who), "none", kind)
        rest = verb(verbs[draws.pick(RESTING)], past, plural)
        subject = Phrase("NP", (first._replace(role="none"), rc), "agent")
        tree = Phrase("S", (subject, Phrase("VP", (rest, somewhere(world)))), construction="intransitive")
    else:
        tree = _acting(world, one, several[0].plural, first, second)
    if style < 0.35 or style > 0.8:
        tree = with_reason(tree, "while", _acting(world, two, several[2].plural, third, fourth))
    yield Plan(tree, "background")


def _acting(world: World, act: Verb, plural: bool, agent: Phrase, patient: Phrase) -> Phrase:
    inner = Phrase("VP", (nonfinite(act, "gerund"), patient._replace(role="patient")))
    vp = Phrase("VP", (auxiliary("be", world.past, plural), inner), construction="progressive")
    return Phrase("S", (agent, vp))


def somewhere(world: World) -> Phrase:
    """*Near the mill*, a place that is only passed by."""
    place = world.referent(world.draws.pick(world.words.fillers(PLACES)))
    near = world.draws.pick(("near", "near", "behind", "past"))
    return prepositional(near, Phrase("NP", definite(place)), "location")


def on_oneself(world: World) -> Passage:
    """*Anna washed herself*, *the uncle of Anna praised himself near the mill*."""
    draws = world.draws
    if not people(world):
        return
    one = draws.pick(people(world))
    others = [other for other in people(world) if other is not one]
    if draws.chance(0.6):
        gender = draws.pick(("male", "female"))
        kin = world.referent(world.words.nouns[draws.pick(KIN[gender])], plural=draws.chance(0.25))
        kin.gender = "plural" if kin.plural else gender
        of = prepositional("of", Phrase("NP", (name(one),)))
        one.mentioned = True
        world.now += [kin, one]
        one, subject = kin, Phrase("NP", (Phrase("NP", definite(kin)), of), "agent")
    else:
        if others and draws.chance(0.3):
            one = together(world, one, draws.pick(others))
        subject = refer(world, one, "agent", SUBJECT)
    act = verb(world.words.verbs[draws.pick(REFLEXIVES)], world.past, one.plural)
    where = (somewhere(world),) if draws.chance(0.6) else ()
    vp = Phrase("VP", (act, reflexive(one), *where), construction="reflexive")
    yield Plan(Phrase("S", (subject, vp), construction="reflexive"), "sequence")


def lore(world: World) -> Passage:
    """*Tom knew that a sparrow is a bird.*"""
    draws, words = world.draws, world.words
    if not people(world):
        return
    one = draws.pick(people(world))
    kind = draws.pick(CLASSES)
    noun = draws.pick([noun for noun in words.fillers((kind,)) if noun.lemma != kind and not noun.mass])
    subject = refer(world, one, "experiencer", SUBJECT)
    said = verb(words.verbs["say", draws.pick(CLAIMS)], world.past, one.plural)
    that = Phrase("SBAR", (THAT, is_a(noun, words.nouns[kind])))
    vp = Phrase("VP", (said, that), construction="complement clause")
    yield Plan(Phrase("S", (subject, vp), construction="complement clause"), "elaboration")
