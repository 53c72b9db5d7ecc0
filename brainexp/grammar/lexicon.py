"""The vocabulary: nouns by hypernym, verbs by frame, adjectives by what may bear them, topics."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from brainexp.grammar import inflection
from brainexp.grammar.draws import Ranked


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """A noun with its class in the taxonomy.

    Attributes
    ----------
    lemma, plural : str
        Both forms; a mass noun repeats its only form.
    kind : str
        Its class, such as ``bird``; `Lexicon.hypernyms` gives the classes above it.
    animacy : str
        ``human``, ``animal``, ``inanimate`` or ``abstract``.
    tag : str
        Gender of a person, or preposition of a place, container or surface; empty otherwise.
    mass : bool
        Whether it has no plural and takes *some* instead of *a*.
    """

    lemma: str
    plural: str
    kind: str
    animacy: str
    tag: str
    mass: bool


@dataclass(frozen=True, slots=True, eq=False)
class Verb:
    """A verb with its forms, its frame and what it selects.

    Attributes
    ----------
    lemma, third, past, participle, gerund : str
        Forms; ``third`` is the third person singular of the present.
    kind, frame : str
        Semantic class (``motion``, ``ingest``, ...) and the construction it heads.
    subjects, objects, instruments : tuple of str
        Noun classes or lemmas that may fill the place.
    """

    lemma: str
    third: str
    past: str
    participle: str
    gerund: str
    kind: str
    frame: str
    subjects: tuple[str, ...]
    objects: tuple[str, ...]
    instruments: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Adjective:
    """An adjective; ``antonym`` is empty where there is none."""

    lemma: str
    group: str
    antonym: str


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """What a scene is about: where it may lie, what lies there, what is done there."""

    name: str
    number: int
    neighbours: tuple[str, ...]
    places: Ranked[Noun]
    props: tuple[str, ...]
    verbs: frozenset[str]


class Lexicon:
    """All words, read once, with the look-ups that the grammar asks for often.

    Attributes
    ----------
    parents : dict of str to str
        Class to the class above it; the root ``thing`` maps to the empty string.
    nouns, verbs, adjectives, topics : dict
        Words by lemma (verbs by ``(kind, lemma)``, adjectives by ``(group, lemma)``).
    names : dict of str to Ranked
        Names by gender, of persons and of animals.
    """

    def __init__(self) -> None:
        self.parents: dict[str, str] = {}
        self.nouns: dict[str, Noun] = {}
        self._by_kind: dict[str, list[Noun]] = {}
        self._read_nouns()
        self.kinds = tuple(self.parents)
        self.verbs: dict[tuple[str, str], Verb] = {(verb.kind, verb.lemma): verb for verb in _verbs()}
        self.adjectives: dict[tuple[str, str], Adjective] = {}
        self._bearers: dict[str, tuple[str, ...]] = {}
        self._read_adjectives()
        self.names = {line[0]: Ranked(line[1].split()) for line in _fields("names.txt", ":")}
        self.topics = {topic.name: topic for topic in self._read_topics()}
        self._fillers: dict[tuple[str, ...], Ranked[Noun]] = {}
        self._admits: dict[tuple[Noun, tuple[str, ...]], bool] = {}
        self._borne: dict[Noun, tuple[Adjective, ...]] = {}

    def _read_nouns(self) -> None:
        for head, members in _fields("nouns.txt", ":"):
            classes, animacy, tag = (part.strip() for part in head.split("|"))
            kind, parent = (part.strip() for part in classes.split("<"))
            self.parents[kind] = "" if parent == "-" else parent
            for written in members.split():
                lemma, _, irregular = written.lstrip("~").partition("/")
                mass = written.startswith("~")
                many = lemma if mass else irregular or inflection.plural(lemma)
                noun = Noun(lemma, many, kind, animacy, tag, mass)
                self._by_kind.setdefault(kind, []).append(noun)
                self.nouns.setdefault(lemma, noun)

    def _read_adjectives(self) -> None:
        for head, members in _fields("adjectives.txt", ":"):
            group, bearers = (part.strip() for part in head.split("|", 1))
            self._bearers[group] = tuple(part.strip() for part in bearers.split("|"))
            for written in members.split():
                first, _, second = written.partition("~")
                for lemma, antonym in ((first, second), (second, first)):
                    if lemma:
                        adjective = Adjective(lemma, group, antonym)
                        self.adjectives[group, lemma] = adjective

    def _read_topics(self) -> Iterator[Topic]:
        for number, (name, neighbours, places, props, verbs) in enumerate(_fields("topics.txt", "|")):
            known = tuple(prop for prop in props.split() if prop in self.parents or prop in self.nouns)
            yield Topic(
                name=name,
                number=number,
                neighbours=tuple(neighbours.split()),
                places=Ranked([self.nouns[place] for place in places.split()]),
                props=known,
                verbs=frozenset(verbs.split()),
            )

    def hypernyms(self, noun: Noun) -> tuple[str, ...]:
        """Classes of a noun from its own up to ``thing``."""
        chain = [noun.kind]
        while self.parents[chain[-1]]:
            chain.append(self.parents[chain[-1]])
        return tuple(chain)

    def admits(self, noun: Noun, selection: tuple[str, ...]) -> bool:
        """Whether a noun, or one of its classes, is among those selected."""
        known = self._admits.get((noun, selection))
        if known is None:
            known = noun.lemma in selection or any(kind in selection for kind in self.hypernyms(noun))
            self._admits[noun, selection] = known
        return known

    def fillers(self, selection: tuple[str, ...]) -> Ranked[Noun]:
        """Every noun that a selection admits, the frequent ones of all its classes first."""
        if selection not in self._fillers:
            ranked = [
                (rank, noun)
                for members in self._by_kind.values()
                for rank, noun in enumerate(members)
                if self.admits(noun, selection)
            ]
            ranked.sort(key=lambda entry: entry[0])
            self._fillers[selection] = Ranked([noun for _, noun in ranked])
        return self._fillers[selection]

    def adjectives_of(self, noun: Noun) -> tuple[Adjective, ...]:
        """Adjectives that a noun may bear."""
        if noun not in self._borne:
            self._borne[noun] = tuple(
                adjective for adjective in self.adjectives.values() if self.admits(noun, self._bearers[adjective.group])
            )
        return self._borne[noun]


@cache
def lexicon() -> Lexicon:
    """The one vocabulary of the grammar."""
    return Lexicon()


def _fields(name: str, separator: str) -> Iterator[list[str]]:
    text = files("brainexp.grammar").joinpath(name).read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield [field.strip() for field in line.split(separator)]


def _verbs() -> Iterator[Verb]:
    kind = frame = ""
    for (line,) in _fields("verbs.txt", "\t"):
        if line.startswith("["):
            kind, frame = line[1:].split("] ")
            continue
        forms, selection = line.split(maxsplit=1)
        lemma, _, rest = forms.partition("/")
        past, _, participle = rest.partition("/")
        past = past or inflection.past(lemma)
        chosen, _, instruments = selection.partition("+")
        subjects, _, objects = chosen.partition("->")
        third = {"be": "is", "have": "has"}.get(lemma) or inflection.third_person(lemma)
        yield Verb(
            lemma,
            third,
            past,
            participle or past,
            inflection.gerund(lemma),
            kind,
            frame,
            _alternatives(subjects),
            _alternatives(objects),
            _alternatives(instruments),
        )


def _alternatives(written: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in written.split("|") if part.strip())
