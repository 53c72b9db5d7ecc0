"""Probing tasks of semantics and discourse."""

from brainexp.grammar.lexicon import Noun, Verb
from brainexp.grammar.narration import story
from brainexp.grammar.probe import Lottery, Probe, Sample, a, he, token

INANIMATE = ("tool", "container", "utensil", "garment", "toy", "furniture", "document", "vehicle", "fruit")
ANIMATE = ("worker", "pet", "farm_animal", "wild_animal", "bird")
CLASSES = (
    ("animal", ANIMATE[1:]),
    ("food", ("fruit", "vegetable", "baked", "snack")),
    ("clothing", ("garment",)),
    ("place", ("building", "open_place", "room")),
    ("person", ("worker",)),
    ("tool", ("tool", "utensil")),
)


def animacy(lottery: Lottery, label: int) -> Sample:
    """Whether a noun names something alive that acts."""
    nouns = [lottery.own(*ANIMATE).lemma, lottery.own(*INANIMATE).lemma]
    asked = nouns[0] if label else nouns[1]
    if lottery.coin():
        nouns.reverse()
    look = lottery.draws.pick(("saw", "noticed", "remembered", "admired"))
    context = (f"{lottery.name()} {look} {a(nouns[0])} and {a(nouns[1])} near {lottery.place()}.",)
    return Sample((token(context, 0, asked),), context, label)


def selection(lottery: Lottery, label: int) -> Sample:
    """*Anna ate the apple and opened the box* against *ate the box and opened the apple*."""
    words = lottery.words
    while True:
        first, second = _selective(lottery), _selective(lottery)
        one, two = lottery.noun(*first.objects), lottery.noun(*second.objects)
        if not words.admits(two, first.objects) and not words.admits(one, second.objects):
            break
    nouns: tuple[Noun, Noun] = (one, two) if label else (two, one)
    sentence = f"{lottery.name()} {first.past} the {nouns[0].lemma} and {second.past} the {nouns[1].lemma}."
    return Sample((sentence,), (), label)


def _selective(lottery: Lottery) -> Verb:
    return lottery.verb("ingest", "create", "cut", "grow", "study", "handle", "clean", "care")


def role(lottery: Lottery, label: int) -> Sample:
    """Whether a noun is the agent (1) or the patient (0)."""
    first = lottery.noun(*ANIMATE)
    second = lottery.noun(*ANIMATE, taken=(first,))
    verb = lottery.draws.pick(("followed", "chased", "helped", "watched", "met", "found", "noticed", "greeted"))
    passive = lottery.coin()
    act = f"was {verb} by" if passive else f"had just {verb}"
    context = (f"The {first.lemma} {act} the {second.lemma} near {lottery.place()}.",)
    asked = first if bool(label) != passive else second
    return Sample((token(context, 0, asked.lemma),), context, label)


def hypernym(lottery: Lottery, label: int) -> Sample:
    """Which of six classes a noun belongs to."""
    noun = lottery.own(*CLASSES[label][1]).lemma
    act = lottery.draws.pick(("spoke of", "thought of", "dreamed of", "drew", "knew", "remembered"))
    context = (f"{lottery.name()} {act} {a(noun)} when {lottery.name()} went to {lottery.place()}.",)
    return Sample((token(context, 0, noun),), context, label)


def coreference(lottery: Lottery, label: int) -> Sample:
    """Whether a pronoun and a name of the sentence before mean the same person."""
    genders = ("male", "female") if lottery.coin() else ("female", "male")
    names = [lottery.name(gender) for gender in genders]
    which = lottery.coin()
    gender = genders[which]
    asked = names[which] if label else names[1 - which]
    act = lottery.draws.pick(("met", "saw", "greeted", "helped", "followed", "visited"))
    verb = _selective(lottery)
    context = (
        f"{names[0]} {act} {names[1]} near {lottery.place()}.",
        f"{he(gender)} {verb.past} the {lottery.noun(*verb.objects).lemma} near {lottery.place()}.",
    )
    return Sample((token(context, 1, he(gender)), token(context, 0, asked)), context, label)


STATES = (
    ("hungry", "ate", "eat", ("fruit", "baked", "snack")),
    ("curious", "opened", "open", ("box", "chest", "letter", "drawer")),
    ("bored", "read", "read", ("document",)),
    ("cold", "wore", "wear", ("coat", "scarf", "shawl", "cloak", "sweater")),
)


def connective(lottery: Lottery, label: int) -> Sample:
    """*Anna was hungry. So she ate a pie*: 1 where the connective fits what follows."""
    state, past, base, objects = lottery.draws.pick(STATES)
    gender = "male" if lottery.coin() else "female"
    met = lottery.coin()
    fits = met == bool(label)
    thing = a(lottery.noun(*objects).lemma)
    act = f"at last {past} {thing}" if met else f"could not {base} {thing}"
    where = lottery.place()
    first = f"{lottery.name(gender)} was {state} near {lottery.place()}."
    second = f"{'So' if fits else 'But'} {he(gender).lower()} {act} near {where}."
    return Sample((f"{first} {second}",), (), label)


def order(lottery: Lottery, label: int) -> Sample:
    """1 where the sentence that introduces a thing comes before the one that takes it as known."""
    noun = lottery.noun(*INANIMATE)
    acts = [lottery.draws.pick(("saw", "found", "hid", "left", "cleaned", "noticed", "wanted")) for _ in range(2)]
    sentences = [
        f"{lottery.name()} {acts[0]} {a(noun.lemma)} near {lottery.place()}.",
        f"{lottery.name()} {acts[1]} the {noun.lemma} near {lottery.place()}.",
    ]
    if not label:
        sentences.reverse()
    return Sample(tuple(sentences), (), label)


def continuation(lottery: Lottery, label: int) -> Sample:
    """1 where the second sentence is the next of the story, 0 where it is from another story."""
    draws = lottery.draws
    told, other = (story(int(draws.uniform() * 2**40), 300).sentences for _ in range(2))
    at = 3 + int(draws.uniform() * (min(len(told), len(other)) - 5))
    second = told[at + 1] if label else other[at + 1]
    return Sample((told[at].text, second.text), (), label)


MEANING_PROBES = (
    Probe(
        "animacy",
        "semantics",
        "animacy",
        "SENTENCE_TOKENS",
        2,
        "One animate and one inanimate noun in every sentence, in either order; no noun that is asked about "
        "occurs in two splits.",
        animacy,
    ),
    Probe(
        "selectional-restriction",
        "semantics",
        "selectional restrictions",
        "SENTENCE",
        2,
        "Right and wrong sentences have the same words: the objects of two verbs change places.",
        selection,
    ),
    Probe(
        "agent-patient",
        "semantics",
        "semantic roles",
        "SENTENCE_TOKENS",
        2,
        "First and second noun are agents equally often, through active and passive clauses of equal length.",
        role,
    ),
    Probe(
        "hypernym",
        "semantics",
        "taxonomy",
        "SENTENCE_TOKENS",
        6,
        "The frame is the same for all classes; no noun that is asked about occurs in two splits.",
        hypernym,
    ),
    Probe(
        "coreference",
        "discourse",
        "coreference",
        "SENTENCE_PAIR_TOKENS_BI",
        2,
        "Pronouns and names of both genders, in either order, are equally often coreferent.",
        coreference,
    ),
    Probe(
        "connective",
        "discourse",
        "discourse connectives",
        "SENTENCE",
        2,
        "An exclusive-or of connective and outcome: each of both is equally often right.",
        connective,
    ),
    Probe(
        "sentence-order",
        "discourse",
        "sentence order",
        "SENTENCE_PAIR_BI",
        2,
        "Both sentences have one frame; only the article says which introduces the thing.",
        order,
    ),
    Probe(
        "next-sentence",
        "discourse",
        "next sentence",
        "SENTENCE_PAIR_BI",
        2,
        "Wrong continuations come from the same place in another story, so lengths are alike; names and "
        "topic may differ, as they do between stories.",
        continuation,
    ),
)
