"""What the features of a word or sentence tell of its annotation in a Universal Dependencies treebank."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.errors import ConfigError, DataError
from brainexp.probe.probing import APART, LinearProbing
from brainexp.probe.senteval import drawn
from brainexp.probe.task import Task, collected
from brainexp.registry import PROBES

N_COLUMNS = 10


@dataclass(frozen=True)
class Asked:
    """What a task asks of a word.

    Parameters
    ----------
    competence, phenomenon : str
    label : callable
        From a word's annotation to its label; None where the question does not apply.
    """

    competence: str
    phenomenon: str
    label: Callable[[Mapping[str, Any]], str | None]


def _feature(name: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda word: (word["feats"] or {}).get(name)


#: Tasks of single words.
OF_WORDS = {
    "pos": Asked("syntax", "part of speech", lambda word: word["upos"]),
    "relation": Asked("syntax", "dependency relation to the head", lambda word: word["deprel"].split(":")[0]),
    "number": Asked("morphology", "number", _feature("Number")),
    "tense": Asked("morphology", "tense", _feature("Tense")),
    "person": Asked("morphology", "person", _feature("Person")),
    "verb_form": Asked("morphology", "verb form", _feature("VerbForm")),
    "degree": Asked("morphology", "degree", _feature("Degree")),
    "definite": Asked("semantics", "definiteness", _feature("Definite")),
}
#: Tasks of a word and its head, whose features stand side by side, and of whole sentences.
ARC, TREE_DEPTH = "arc_relation", "tree_depth"


@PROBES.register("ud")
@dataclass(frozen=True)
class UniversalDependencies(LinearProbing):
    """Part of speech, dependency relation, morphology and tree depth from CoNLL-U files.

    Words are read in their sentence; a word's features are the mean over its tokens. Words of a contraction (*do*, *n't*)
    that is written as one share its stretch of text.

    Parameters
    ----------
    train, dev, test : str or None
        CoNLL-U files. Without ``dev``, every eighth sentence of ``train`` is one.
    most_samples : int or None
        Of each split, drawn at random; None for all.
    least_frequent : int
        Labels with fewer training samples are left out.
    """

    train: str = field(default="", metadata=APART)
    dev: str | None = field(default=None, metadata=APART)
    test: str = field(default="", metadata=APART)
    most_samples: int | None = 10_000
    least_frequent: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_samples is not None and self.most_samples < 10:
            raise ConfigError(f"probe 'ud': most_samples must be at least 10 or null, got {self.most_samples}")

    def offered(self) -> dict[str, Callable[[], Task]]:
        """Every task; the files are read once, when the first is."""
        for option in ("train", "test", "dev"):
            path = getattr(self, option)
            if path is not None and not Path(path).expanduser().is_file():
                raise DataError(f"probe 'ud': {option}={path!r} is no file. Give a treebank's CoNLL-U file.")
        return {name: partial(self._task, name) for name in (*OF_WORDS, ARC, TREE_DEPTH)}

    def _task(self, name: str) -> Task:
        samples = [(split, *one) for split, sentence in self._sentences() for one in _samples(name, sentence)]
        n_train: dict[str, int] = {}
        for split, _, label in samples:
            n_train[label] = n_train.get(label, 0) + (split == "train")
        is_number = name == TREE_DEPTH
        samples = [one for one in samples if is_number or n_train[one[2]] >= self.least_frequent]
        if not samples:
            raise DataError(f"probe 'ud': no label of task {name!r} has {self.least_frequent} training samples.")
        kept = drawn(np.array([split for split, _, _ in samples]), self.most_samples)
        samples = [samples[row] for row in kept]
        classes = sorted({label for _, _, label in samples})
        competence, phenomenon = _about(name)
        passages, at = collected([stretch for _, stretches, _ in samples for stretch in stretches])
        numbers = iter(at.tolist())
        labels = [float(label) if is_number else classes.index(label) for _, _, label in samples]
        return Task(
            name=name,
            competence=competence,
            phenomenon=phenomenon,
            passages=passages,
            slots=tuple(tuple((next(numbers),) for _ in stretches) for _, stretches, _ in samples),
            labels=np.array(labels),
            n_labels=1 if is_number else len(classes),
            split=np.array([split for split, _, _ in samples]),
        )

    def _sentences(self) -> Iterator[tuple[str, Any]]:
        for number, sentence in enumerate(_parsed(self.train)):
            held = self.dev is None and number % 8 == 0
            yield ("dev" if held else "train"), sentence
        if self.dev is not None:
            yield from (("dev", sentence) for sentence in _parsed(self.dev))
        yield from (("test", sentence) for sentence in _parsed(self.test))


def _about(name: str) -> tuple[str, str]:
    if name == ARC:
        return "syntax", "dependency relation of two words"
    return ("syntax", "tree depth") if name == TREE_DEPTH else (OF_WORDS[name].competence, OF_WORDS[name].phenomenon)


def _parsed(path: str) -> Iterator[Any]:
    import conllu

    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            for sentence in conllu.parse_incr(file):
                if any(len(token) < N_COLUMNS for token in sentence):
                    raise DataError(f"{path}: a sentence has words with fewer than {N_COLUMNS} columns: {sentence}.")
                yield sentence
    except (conllu.exceptions.ParseException, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no CoNLL-U file: {error}. Download the treebank anew.") from error


def _samples(name: str, sentence: Any) -> Iterator[tuple[list[tuple[str, tuple[int, int]]], str]]:
    """Stretches and label of every sample of a task in a sentence."""
    text, words = written(sentence)
    if name == TREE_DEPTH:
        yield [(text, (0, len(text)))], str(depth({word["id"]: word["head"] for word, _ in words}))
        return
    places = {word["id"]: place for word, place in words}
    for word, place in words:
        if name == ARC:
            if word["head"] in places and word["deprel"] != "punct":
                yield [(text, place), (text, places[word["head"]])], word["deprel"].split(":")[0]
            continue
        label = OF_WORDS[name].label(word)
        if label is not None:
            yield [(text, place)], label


def written(sentence: Any) -> tuple[str, list[tuple[Any, tuple[int, int]]]]:
    """Text of a parsed sentence, and its words with the characters that write them.

    Parameters
    ----------
    sentence : conllu.TokenList

    Returns
    -------
    text : str
        Words joined as the annotation says (SpaceAfter).
    words : list of (word, (first character, one past the last))
        Syntactic words; those of one contraction share its characters. Empty nodes are left out.
    """
    text = ""
    words: list[tuple[Any, tuple[int, int]]] = []
    shared: dict[int, tuple[int, int]] = {}
    for token in sentence:
        at = token["id"]
        if not isinstance(at, int) and at[1] == ".":
            continue  # an empty node, of the enhanced graph only
        if isinstance(at, int) and at in shared:
            words.append((token, shared[at]))
            continue
        place = (len(text), len(text) + len(token["form"]))
        text += token["form"] + ("" if (token["misc"] or {}).get("SpaceAfter") == "No" else " ")
        if isinstance(at, int):
            words.append((token, place))
        else:
            shared |= dict.fromkeys(range(at[0], at[2] + 1), place)
    return text.rstrip(), words


def depth(heads: Mapping[int, int]) -> int:
    """Most words on a way from the root to a word, the root included.

    >>> depth({1: 2, 2: 0, 3: 2, 4: 3})
    3
    """

    def level(word: int) -> int:
        count = 0
        while word in heads and count <= len(heads):
            word, count = heads[word], count + 1
        return count

    return max(map(level, heads))
