"""Probing tasks of reasoning: whether the last sentence follows, or what will follow.

A conclusion that is there already leaves no linear trace of its truth in a model that only foresees words: what was
foreseen would have to be held against what came. Tasks whose names end in *foreseen* stop before the answer, where a
model that reasons must have it.
"""

from itertools import pairwise

from brainexp.grammar.inflection import comparative
from brainexp.grammar.probe import Lottery, Probe, Sample, a, token
from brainexp.grammar.reasoning import SCALES
from brainexp.grammar.reference import NUMERALS

OBJECTS = ("treasure", "toy", "garment", "document", "musical", "light", "utensil")
KINDS = ("bird", "fish", "insect", "tree", "flower", "fruit", "vegetable", "tool", "toy", "vehicle")


def possession(lottery: Lottery, label: int) -> Sample:
    """*Anna gave the key to Tom. Now Tom had the key*: 1 where the right person has it."""
    first = lottery.name()
    second = lottery.name("", first)
    thing = lottery.noun(*OBJECTS).lemma
    if lottery.coin():
        act = f"{first} {lottery.draws.pick(('gave', 'handed', 'sold'))} the {thing} to {second}"
        owner, giver = second, first
    else:
        act = f"{first} {lottery.draws.pick(('took', 'bought', 'borrowed'))} the {thing} from {second}"
        owner, giver = first, second
    who = owner if label else giver
    return Sample((f"{act} near {lottery.place()}. Now {who} had the {thing}.",), (), label)


def transitivity(lottery: Lottery, label: int) -> Sample:
    """*A was taller than B. B was taller than C. So A was taller than C* against *So C ... A*."""
    people, more = _ranked(lottery)
    premises = _premises(people, more)
    if lottery.coin():
        premises.reverse()
    ends = (people[0], people[2]) if label else (people[2], people[0])
    return Sample((f"{' '.join(premises)} So {ends[0]} was {more} than {ends[1]}.",), (), label)


def transitivity_foreseen(lottery: Lottery, label: int) -> Sample:
    """*A was taller than B. B was taller than C. So*: 1 where the first name is the tallest's."""
    premises = _premises(*_ranked(lottery))
    if not label:
        premises.reverse()
    context = (f"{' '.join(premises)} So",)
    return Sample((token(context, 0, "So"),), context, label)


def _ranked(lottery: Lottery) -> tuple[tuple[str, str, str], str]:
    """Three people, the first above the second and the second above the third, and in what."""
    one = lottery.name()
    two = lottery.name("", one)
    three = lottery.name("", one, two)
    return (one, two, three), comparative(lottery.draws.pick(SCALES["person"]))


def _premises(people: tuple[str, str, str], more: str) -> list[str]:
    return [f"{above} was {more} than {below}." for above, below in pairwise(people)]


def taxonomy(lottery: Lottery, label: int) -> Sample:
    """*Tom knew that a sparrow is a bird/fish*: 1 where it is true."""
    kind = lottery.draws.pick(KINDS)
    noun = lottery.own(kind)
    while noun.lemma in KINDS or noun.kind not in KINDS:
        noun = lottery.own(kind)
    claimed = kind
    while not label and claimed == kind:
        claimed = lottery.draws.pick(KINDS)
    said = lottery.draws.pick(("said", "knew", "thought", "explained", "believed", "announced"))
    return Sample((f"{lottery.name()} {said} that {a(noun.lemma)} is {a(claimed)}.",), (), label)


def antonym(lottery: Lottery, label: int) -> Sample:
    """*The box was not heavy. It was light*: 1 where the two sentences agree."""
    noun = lottery.noun(*OBJECTS, "container", "furniture", "tool")
    while not (opposed := [each for each in lottery.words.adjectives_of(noun) if each.antonym]):
        noun = lottery.noun(*OBJECTS)
    quality = lottery.draws.pick(opposed)
    denied = lottery.coin()
    repeated = denied != bool(label)
    second = quality.lemma if repeated else quality.antonym
    where = lottery.place()
    first = f"The {noun.lemma} near {where} was {'not' if denied else 'quite'} {quality.lemma}."
    return Sample((f"{first} That {noun.lemma} near {where} was very {second}.",), (), label)


def counting(lottery: Lottery, label: int) -> Sample:
    """*Anna had five apples. Anna ate two. Now Anna had three apples*: 1 where the sum is right."""
    pick = lottery.draws.pick
    noun = lottery.noun("fruit", "baked", "snack", "vegetable")
    name = lottery.name()
    left, gone = pick(range(2, 6)), pick(range(1, 5))
    stated = left
    while not label and stated == left:
        stated = pick(range(2, 6))
    where = lottery.place()
    sentence = (
        f"{name} had {NUMERALS[left + gone]} {noun.plural} near {where}. "
        f"Then {name} {pick(('ate', 'lost', 'sold'))} {NUMERALS[gone]} of the {noun.plural} near {where}. "
        f"Now {name} had {NUMERALS[stated]} {noun.plural} near {where}."
    )
    return Sample((sentence,), (), label)


def location(lottery: Lottery, label: int) -> Sample:
    """*The box with the key went to the mill. The bag with the map … inn. So Anna found the key at the mill*."""
    things, moves, goal = _moved(lottery)
    name = lottery.name()
    asked = lottery.coin()
    where = goal[asked] if label else goal[not asked]
    if lottery.coin():
        moves.reverse()
    return Sample((f"{' '.join(moves)} So {name} found the {things[asked]} at {where}.",), (), label)


def location_foreseen(lottery: Lottery, label: int) -> Sample:
    """The same, up to *So Anna found the key at*: 1 where the answer is the place that was named first."""
    things, moves, _ = _moved(lottery)
    asked = lottery.coin()
    if asked == bool(label):
        moves.reverse()
    context = (f"{' '.join(moves)} So {lottery.name()} found the {things[asked]} at",)
    return Sample((token(context, 0, "at"),), context, label)


def _moved(lottery: Lottery) -> tuple[list[str], list[str], tuple[str, str]]:
    """Two things, the sentences in which their boxes go somewhere, and where."""
    things = [lottery.noun("treasure", "toy").lemma]
    things.append(lottery.noun("document", "utensil").lemma)
    boxes = [lottery.noun("container").lemma]
    while (other := lottery.noun("container").lemma) == boxes[0]:
        pass
    boxes.append(other)
    here, there = lottery.place(), lottery.place()
    while there == here:
        there = lottery.place()
    goal = (here, there)
    return things, [f"The {boxes[at]} with the {things[at]} went to {goal[at]}." for at in (0, 1)], goal


REASONING_PROBES = (
    Probe(
        "possession",
        "reasoning",
        "possession after transfer",
        "SENTENCE",
        2,
        "Half the verbs give and half take, so neither the first nor the second name is the likelier owner.",
        possession,
    ),
    Probe(
        "transitivity",
        "reasoning",
        "object comparison",
        "SENTENCE",
        2,
        "True and false conclusions have the same words; the premises stand in either order.",
        transitivity,
    ),
    Probe(
        "taxonomy",
        "reasoning",
        "taxonomy",
        "SENTENCE",
        2,
        "Every class is claimed equally often truly and falsely; no noun occurs in two splits.",
        taxonomy,
    ),
    Probe(
        "antonym-negation",
        "reasoning",
        "antonym negation",
        "SENTENCE",
        2,
        "An exclusive-or of negation and of repeating the adjective.",
        antonym,
    ),
    Probe(
        "counting",
        "reasoning",
        "subtraction",
        "SENTENCE",
        2,
        "The number that is stated is spread alike over true and false samples.",
        counting,
    ),
    Probe(
        "location",
        "reasoning",
        "location of what is contained",
        "SENTENCE",
        2,
        "Both things, boxes and places occur in every sample; only the binding differs.",
        location,
    ),
    Probe(
        "transitivity-foreseen",
        "reasoning",
        "object comparison",
        "SENTENCE_TOKENS",
        2,
        "The premises stand in either order; which name they share, and in which places, is all that tells.",
        transitivity_foreseen,
    ),
    Probe(
        "location-foreseen",
        "reasoning",
        "location of what is contained",
        "SENTENCE_TOKENS",
        2,
        "An exclusive-or of which thing comes first and which is asked about.",
        location_foreseen,
    ),
)
