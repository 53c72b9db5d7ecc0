"""What a probing task is, and the words that its sentences draw on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from brainexp.grammar.cast import EMPTY, PRONOUNS
from brainexp.grammar.draws import Draws
from brainexp.grammar.inflection import article
from brainexp.grammar.lexicon import Adjective, Noun, Verb, lexicon

#: A token: its text, the index of its sentence in the context, its first character, the one after its last.
Token = tuple[str, int, int, int]
SPLITS = ("train", "dev", "test")
COMPETENCES = ("morphology", "syntax", "semantics", "discourse", "reasoning")
TASK_TYPES = ("SENTENCE", "SENTENCE_TOKENS", "SENTENCE_PAIR_TOKENS_BI", "SENTENCE_PAIR_BI")


@dataclass(frozen=True, slots=True)
class Sample:
    """One item: what is encoded, the sentences around it, the answer."""

    inputs: tuple[str, ...] | tuple[Token, ...]
    context: tuple[str, ...]
    label: float


@dataclass(frozen=True, slots=True)
class Probe:
    """One probing task.

    Attributes
    ----------
    name, competence, phenomenon, task_type : str
    num_labels : int
        1 stands for regression.
    control : str
        What a classifier that sees only length or single words is kept from.
    draw : callable of (Lottery, int) to Sample
        A sample with a wanted label; for a regression the label is only a turn to ignore.
    """

    name: str
    competence: str
    phenomenon: str
    task_type: str
    num_labels: int
    control: str
    draw: "Callable[[Lottery, int], Sample]"


class Lottery:
    """Draws words for samples of one split.

    Parameters
    ----------
    draws : Draws
    split : str
        `own` keeps nouns of one split out of the others, for tasks that ask about the noun itself.
    """

    def __init__(self, draws: Draws, split: str) -> None:
        self.draws = draws
        self.split = split
        self.words = lexicon()

    def name(self, gender: str = "", *taken: str) -> str:
        """A name of a person."""
        gender = gender or self.draws.pick(("male", "female"))
        while (name := self.draws.pick(self.words.names[gender])) in taken:
            pass
        return name

    def noun(self, *selection: str, taken: tuple[Noun, ...] = ()) -> Noun:
        """A noun that has a plural of its own."""
        while True:
            noun = self.draws.pick(self.words.fillers(selection))
            if noun not in taken and noun.plural != noun.lemma and noun.lemma not in EMPTY:
                return noun

    def own(self, *selection: str) -> Noun:
        """A noun that only this split asks about."""
        wanted = SPLITS.index(self.split)
        nouns = [noun for noun in self.words.fillers(selection) if not noun.mass]
        # By place in the class, so that each split gets frequent and rare nouns: 3 to 1 to 1.
        return self.draws.pick([noun for at, noun in enumerate(nouns) if max(0, at % 5 - 2) == wanted])

    def place(self) -> str:
        """*The* and a place."""
        return "the " + self.draws.pick(self.words.fillers(("building", "open_place", "water_place"))).lemma

    def adjective(self, noun: Noun) -> Adjective:
        """An adjective that the noun may bear."""
        return self.draws.pick(self.words.adjectives_of(noun) or self.words.adjectives_of(self.words.nouns["box"]))

    def verb(self, *kinds: str, irregular: bool = False) -> Verb:
        """A transitive verb of one of the classes, for persons as subjects and countable objects."""
        return self.draws.pick(_transitive(kinds, irregular))

    def coin(self) -> bool:
        """True or false, equally likely."""
        return self.draws.chance(0.5)


@cache
def _transitive(kinds: tuple[str, ...], irregular: bool) -> tuple[Verb, ...]:
    words = lexicon()
    return tuple(
        verb
        for verb in words.verbs.values()
        if verb.kind in kinds
        and "person" in verb.subjects
        and any(noun.plural != noun.lemma for noun in words.fillers(verb.objects))
        and (not irregular or verb.past != verb.participle)
    )


def a(word: str) -> str:
    """A word behind its indefinite article."""
    return f"{article(word)} {word}"


def he(gender: str) -> str:
    """The pronoun of a gender, in capitals at the front."""
    return PRONOUNS[gender][0].capitalize()


def token(context: tuple[str, ...], index: int, word: str) -> Token:
    """Where a word, which must be there as a whole word, stands in a sentence of the context."""
    padded = f" {context[index]} ".replace(".", " ").replace(",", " ")
    start = padded.index(f" {word} ")
    return (word, index, start, start + len(word))


def capital(sentence: str) -> str:
    """A sentence with a capital letter in front."""
    return sentence[0].upper() + sentence[1:]
