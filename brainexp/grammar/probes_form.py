"""Probing tasks of morphology and syntax."""

from brainexp.grammar.asides import KIN, THINGS
from brainexp.grammar.draws import Draws
from brainexp.grammar.lexicon import Verb
from brainexp.grammar.narration import story
from brainexp.grammar.probe import Lottery, Probe, Sample, token
from brainexp.grammar.words import Sentence

ANIMALS = ("pet", "farm_animal", "wild_animal", "bird")
DEPTH_WORDS = 9
NEAR = ("near", "behind", "beside")


def agreement(lottery: Lottery, label: int) -> Sample:
    """*The keys near the box are/is rusty*: 1 where verb and subject agree."""
    subject = lottery.noun(*THINGS)
    other = lottery.noun(*THINGS, taken=(subject,))
    plural = lottery.coin()
    first, second = (subject.plural, other.lemma) if plural else (subject.lemma, other.plural)
    singular, many = lottery.draws.pick((("is", "are"), ("was", "were"), ("looks", "look"), ("seems", "seem")))
    verb = many if plural == bool(label) else singular
    quality = lottery.adjective(subject).lemma
    return Sample((f"The {first} {lottery.draws.pick(NEAR)} the {second} {verb} {quality}.",), (), label)


def determiner(lottery: Lottery, label: int) -> Sample:
    """*Anna put these keys in this box* against *this keys in these box*: 1 where they agree."""
    thing = lottery.noun("treasure", "toy", "fruit", "utensil", "garment")
    box = lottery.noun("container")
    plural = lottery.coin()
    one, many = lottery.draws.pick((("this", "these"), ("that", "those")))
    forms = (thing.plural, box.lemma) if plural else (thing.lemma, box.plural)
    determiners = (many, one) if plural == bool(label) else (one, many)
    act = lottery.draws.pick(("put", "hid", "found", "left", "kept"))
    sentence = f"{lottery.name()} {act} {determiners[0]} {forms[0]} in {determiners[1]} {forms[1]}."
    return Sample((sentence,), (), label)


def irregular(lottery: Lottery, label: int) -> Sample:
    """*Anna ate a pie after Tom had drawn a map* against *eaten ... drew*: 1 where forms are right."""
    first, second = _irregular(lottery), _irregular(lottery)
    while second is first:
        second = _irregular(lottery)
    forms = (first.past, second.participle) if label else (first.participle, second.past)
    objects = [lottery.noun(*verb.objects).lemma for verb in (first, second)]
    giver, taker = lottery.name(), lottery.name()
    sentence = f"{giver} {forms[0]} the {objects[0]} after {taker} had {forms[1]} the {objects[1]}."
    return Sample((sentence,), (), label)


def _irregular(lottery: Lottery) -> Verb:
    return lottery.verb("ingest", "perceive", "handle", "create", "repair", "cut", irregular=True)


def reflexive(lottery: Lottery, label: int) -> Sample:
    """*The aunt of Tom admired herself/himself*: 1 where the reflexive agrees with its subject."""
    gender, other = ("male", "female") if lottery.coin() else ("female", "male")
    subject = lottery.draws.pick(KIN[gender])
    right = gender if label else other
    form = "himself" if right == "male" else "herself"
    act = lottery.draws.pick(("admired", "washed", "praised", "watched", "scolded", "surprised", "taught"))
    where = lottery.place()
    return Sample((f"The {subject} of {lottery.name(other)} {act} {form} near {where}.",), (), label)


def gap(lottery: Lottery, label: int) -> Sample:
    """*The boy that saw the girl laughed* (0) against *the boy that the girl saw laughed* (1)."""
    first, second, inner, outer = _relative_words(lottery)
    middle = f"the {second} {inner}" if label else f"{inner} the {second}"
    return Sample((f"The {first} that {middle} {outer} {_tail(lottery)}.",), (), label)


def _relative_words(lottery: Lottery) -> tuple[str, str, str, str]:
    first = lottery.noun("worker", *ANIMALS)
    second = lottery.noun("worker", *ANIMALS, taken=(first,))
    inner = lottery.draws.pick(("saw", "followed", "met", "watched", "chased", "noticed", "heard", "helped"))
    outer = lottery.draws.pick(("slept", "rested", "waited", "trembled", "hurried", "wandered", "ran", "went"))
    return first.lemma, second.lemma, inner, outer


def _tail(lottery: Lottery) -> str:
    return f"{lottery.draws.pick(('near', 'behind', 'past'))} {lottery.place()}"


def voice(lottery: Lottery, label: int) -> Sample:
    """Voice of the main clause, 1 for passive; the clause under *while* always has the other voice."""
    names = [lottery.noun("worker", *ANIMALS).lemma for _ in range(4)]
    first, second = (lottery.draws.pick(("follow", "watch", "help", "greet", "lead")) for _ in range(2))
    verbs = lottery.words.verbs
    forms = {verb.lemma: verb for verb in verbs.values() if verb.kind in ("pursue", "perceive", "care")}
    passive = f"was {forms[first].participle} by"
    active = f"was {forms[second].gerund}"
    main, under = (passive, active) if label else (active, passive)
    sentence = f"The {names[0]} {main} the {names[1]} while the {names[2]} {under} the {names[3]}."
    return Sample((sentence,), (), label)


def subject_of(lottery: Lottery, label: int) -> Sample:
    """Whether a noun is the subject of a verb, in both kinds of relative clause."""
    first, second, inner, outer = _relative_words(lottery)
    objective = lottery.coin()
    middle = f"the {second} {inner}" if objective else f"{inner} the {second}"
    context = (f"The {first} that {middle} {outer} {_tail(lottery)}.",)
    inside = lottery.coin()
    agent = second if inside and objective else first
    noun = agent if label else (first if agent == second else second)
    return Sample((token(context, 0, noun), token(context, 0, inner if inside else outer)), context, label)


def tree_depth(lottery: Lottery, _turn: int) -> Sample:
    """Deepest word of a sentence of nine words from a story."""
    sentence = story_sentence(lottery.draws, DEPTH_WORDS)
    return Sample((sentence.text,), (), max(word.depth for word in sentence.words))


def story_sentence(draws: Draws, n_words: int) -> Sentence:
    """A sentence of a given length from a new story."""
    while True:
        told = story(int(draws.uniform() * 2**40), 400)
        fitting = [sentence for sentence in told.sentences[3:] if len(sentence.words) == n_words]
        if fitting:
            return draws.pick(fitting)


FORM_PROBES = (
    Probe(
        "agreement-distractor",
        "morphology",
        "subject-verb agreement",
        "SENTENCE",
        2,
        "The noun before the verb always has the other number than the subject, and each verb form is as "
        "often right as wrong, so which nouns and verb occur tells nothing.",
        agreement,
    ),
    Probe(
        "determiner-noun",
        "morphology",
        "determiner-noun agreement",
        "SENTENCE",
        2,
        "Right and wrong sentences have the same words in another order.",
        determiner,
    ),
    Probe(
        "irregular-forms",
        "morphology",
        "irregular forms",
        "SENTENCE",
        2,
        "Every sentence has one past and one participle of two irregular verbs; only their places differ.",
        irregular,
    ),
    Probe(
        "reflexive-agreement",
        "morphology",
        "anaphor agreement",
        "SENTENCE",
        2,
        "One male and one female word stand in every sentence, and both reflexives are equally often right.",
        reflexive,
    ),
    Probe(
        "relative-gap",
        "syntax",
        "filler-gap",
        "SENTENCE",
        2,
        "Subject and object relatives have the same words in another order.",
        gap,
    ),
    Probe(
        "main-voice",
        "syntax",
        "passive",
        "SENTENCE",
        2,
        "Every sentence has one passive and one progressive clause, the same number of words in total.",
        voice,
    ),
    Probe(
        "subject-of",
        "syntax",
        "dependency",
        "SENTENCE_PAIR_TOKENS_BI",
        2,
        "Both nouns and both verbs are asked about, in subject and object relatives, equally often.",
        subject_of,
    ),
    Probe(
        "tree-depth",
        "syntax",
        "tree depth",
        "SENTENCE",
        1,
        f"All sentences have {DEPTH_WORDS} words. The depths keep the skew that they have in stories.",
        tree_depth,
    ),
)
