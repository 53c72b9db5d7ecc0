"""A story as it is given out: words with gold annotations, sentences with trees."""

from dataclasses import dataclass
from itertools import pairwise

from brainexp.grammar.phrase import HEADS, Child, Leaf, Phrase


@dataclass(frozen=True, slots=True)
class Word:
    """One word of running text with its annotations.

    Attributes
    ----------
    text : str
        As written, with capital letter and the marks that follow it, such as ``garden.``
    lemma, pos : str
        Dictionary form and universal part of speech.
    tense : str
        ``past``, ``present``, ``infinitive``, ``participle``, ``gerund`` or ``none``.
    number : str
        ``singular``, ``plural`` or ``none``; of a finite verb, the number of its subject.
    depth : int
        Number of constituents around the word, the sentence included.
    closing : int
        Number of constituents that end with the word.
    head_distance : int, in words
        Position of the syntactic head minus the word's own; 0 at the root. Auxiliaries, prepositions
        and subordinators are heads.
    subject_distance : int, in words
        Of a finite verb, how far back its subject's head lies; 0 elsewhere.
    distractors : int
        Of a finite verb, nouns of the other number between it and its subject.
    in_relative : bool
        Whether the word is inside a relative clause.
    construction : str
        Name of the innermost construction around the word.
    kind : str
        Semantic class: hypernym of a noun, class of a verb, group of an adjective, or ``none``.
    animacy : str
        ``human``, ``animal``, ``inanimate``, ``abstract`` or ``none``.
    role : str
        ``agent``, ``patient``, ``recipient``, ``location``, ``instrument``, ``experiencer``, ``theme``
        or ``none``.
    entity : int
        Discourse referent, counted from 0 within the story, or -1.
    givenness : str
        ``new``, ``given``, ``pronoun`` or ``none``.
    mention_distance : int, in words
        From the last mention of the same entity; 0 where there is none.
    relation : str
        How the sentence continues the one before.
    topic : str
        Topic of the scene.
    onset_s, offset_s : float, in seconds
        When the word is spoken.
    """

    text: str
    lemma: str
    pos: str
    tense: str
    number: str
    depth: int
    closing: int
    head_distance: int
    subject_distance: int
    distractors: int
    in_relative: bool
    construction: str
    kind: str
    animacy: str
    role: str
    entity: int
    givenness: str
    mention_distance: int
    relation: str
    topic: str
    onset_s: float
    offset_s: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words under one tree.

    Attributes
    ----------
    words : tuple of Word
    tree : str
        Labelled brackets over the words as written.
    construction, relation, topic : str
        Construction of the main clause, relation to the sentence before, topic of the scene.
    """

    words: tuple[Word, ...]
    tree: str
    construction: str
    relation: str
    topic: str

    @property
    def text(self) -> str:
        """The sentence as written."""
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Story:
    """A story with the seed it came from."""

    seed: int
    sentences: tuple[Sentence, ...]

    @property
    def words(self) -> tuple[Word, ...]:
        """Words of all sentences, in order."""
        return tuple(word for sentence in self.sentences for word in sentence.words)

    @property
    def text(self) -> str:
        """The story as written."""
        return " ".join(sentence.text for sentence in self.sentences)


class Row:
    """What one leaf gets from the tree around it."""

    __slots__ = (
        "closing",
        "construction",
        "depth",
        "distractors",
        "head",
        "in_relative",
        "leaf",
        "role",
        "subject",
    )

    def __init__(self, leaf: Leaf, depth: int, role: str, in_relative: bool, construction: str) -> None:
        self.leaf = leaf
        self.depth = depth
        self.role = role
        self.in_relative = in_relative
        self.construction = construction
        self.closing = 0
        self.head = -1
        self.subject = -1
        self.distractors = 0


def surface(tree: Phrase, mark: str) -> list[str]:
    """Words of a tree as written: marks attached, first letter in capitals."""
    forms: list[str] = []
    _collect(tree, forms)
    forms[0] = forms[0][0].upper() + forms[0][1:]
    # A clause with a comma at its own end would otherwise collide with the end of the sentence.
    forms[-1] = forms[-1].rstrip(",") + mark
    return forms


def _collect(phrase: Phrase, forms: list[str]) -> None:
    for child in phrase.children:
        if child.__class__ is str:
            if child.startswith("'") or not forms[-1].endswith(","):
                forms[-1] += child
        elif child.__class__ is Leaf:
            forms.append(child.form)
        else:
            _collect(child, forms)  # type: ignore[arg-type]


def rows(tree: Phrase) -> list[Row]:
    """Annotations of every leaf of a tree, in order."""
    found: list[Row] = []
    _descend(tree, 1, "none", False, "", found)
    for place, row in enumerate(found):
        if row.subject >= 0:
            number = row.leaf.number
            between = found[row.subject + 1 : place]
            row.distractors = sum(other.leaf.pos == "NOUN" and other.leaf.number != number for other in between)
    return found


def _descend(phrase: Phrase, depth: int, role: str, relative: bool, construction: str, found: list[Row]) -> int:
    label = phrase.label
    construction = phrase.construction or construction
    relative = relative or label == "RC"
    if phrase.role != "none":
        role = phrase.role
    elif label in ("S", "RC", "SBAR", "VP"):
        role = "none"
    heads: list[tuple[str, int]] = []
    for child in phrase.children:
        if child.__class__ is Leaf:
            heads.append((child.pos, len(found)))
            found.append(Row(child, depth, role, relative, construction))
        elif child.__class__ is Phrase:
            head = _descend(child, depth + 1, role, relative, construction, found)
            heads.append((child.label, head))
    chosen = _head(label, heads)
    for _, place in heads:
        if place != chosen:
            found[place].head = chosen
    if label in {"S", "RC"}:
        _mark_subject(heads, found)
    found[-1].closing += 1
    return chosen


def _head(label: str, heads: list[tuple[str, int]]) -> int:
    for wanted in HEADS.get(label, ()):
        for name, place in heads:
            if name == wanted:
                return place
    return heads[0][1]


def _mark_subject(heads: list[tuple[str, int]], found: list[Row]) -> None:
    for (name, place), (following, verb) in pairwise(heads):
        if name == "NP" and following == "VP" and found[verb].leaf.tense in ("past", "present"):
            found[verb].subject = place


def bracketed(tree: Phrase, forms: list[str]) -> str:
    """A tree in labelled brackets over the words as written.

    Parameters
    ----------
    tree : Phrase
    forms : list of str
        What `surface` gives for the tree.
    """
    return _bracketed(tree, iter(forms))


def _bracketed(child: Child, forms: object) -> str:
    if isinstance(child, Leaf):
        return f"({child.pos} {next(forms)})"  # type: ignore[call-overload]
    assert isinstance(child, Phrase)
    inside = " ".join(_bracketed(part, forms) for part in child.children if not isinstance(part, str))
    return f"({child.label} {inside})"
