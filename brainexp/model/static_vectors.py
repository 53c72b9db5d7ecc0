"""One vector per word, whatever stands around it: word2vec, GloVe, fastText."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brainexp.cache import digest, source_digest
from brainexp.containers import FloatArray, IntArray, Passage, Stimulus
from brainexp.errors import DataError
from brainexp.interfaces import NOT_IN_CACHE_KEY, Blueprint, Compression, ModelSize, Prompt
from brainexp.model.vectors import layout, vectors
from brainexp.registry import COMPRESSIONS, MODELS, PROMPTS

#: Raise when features of the same options change; every cached feature is then computed again.
FEATURES_VERSION = 1


@MODELS.register("static_vectors")
@dataclass(frozen=True)
class StaticVectors:
    """Word vectors that know no context: what a language model must exceed to have read more than words.

    A word is looked up as the transcript writes it (a typographic apostrophe as a plain one); if the file does not have
    it, without the marks at its ends that are neither letters nor digits; if it does not have that either, both in
    lower case. So "Tea," is found as "Tea,", "Tea", "tea," or "tea", whichever the file has first in this order. Words
    are not taken apart: "didn't" is found only as "didn't". There is one layer, number 0.

    Parameters
    ----------
    path : str
        A file of word2vec (text or binary), GloVe or fastText (text), as it is or compressed with gzip. It is gone
        through once per story, and only the story's words are kept in memory.
    weights : {"pretrained", "random"}
        Random gives the untrained twin: a vector of normal numbers per word that the file has, by ``seed``.
    seed : int
        Of the random vectors.
    format : {"auto", "text", "binary"}
        How the file is written; auto looks.
    lower_case : bool
        Whether a word is looked up in lower case where the file does not have it as written.
    unknown : {"zero", "error"}
        What becomes of a word that the file does not have: a vector of zeros, counted in the run's facts, or an error
        that names it.
    """

    path: str = field(metadata=NOT_IN_CACHE_KEY)  # identity() stands for the content
    weights: Literal["pretrained", "random"] = "pretrained"
    seed: int = field(default=0, metadata=NOT_IN_CACHE_KEY)
    format: Literal["auto", "text", "binary"] = field(default="auto", metadata=NOT_IN_CACHE_KEY)
    lower_case: bool = True
    unknown: Literal["zero", "error"] = "zero"

    def identity(self) -> str:
        """Return a digest of the file and, for random vectors, the seed."""
        return digest({**self.source(), "features": FEATURES_VERSION})

    def source(self) -> dict[str, Any]:
        """Return the digest of the file, how it is read and, for random vectors, the seed."""
        source = {"file": source_digest(self._file), "binary": layout(self._file, self.format).binary}
        return {**source, **({"seed": self.seed} if self.weights == "random" else {})}

    def require_ready(self) -> None:
        """Raise ModelError or DataError if there is no file of word vectors."""
        layout(self._file, self.format)

    def objection(self, compression: Compression, prompt: Prompt) -> str | None:
        """Return why a table of words can be neither compressed nor asked, or None."""
        method, asked = COMPRESSIONS.name_of(compression), PROMPTS.name_of(prompt)
        if method != "none":
            return (
                f"compression {method!r} works on the weights of a network, but model 'static_vectors' is a table of words "
                "with nothing to compress. Give compression=none, or another model."
            )
        if asked != "plain":
            return (
                f"prompt {asked!r} puts text around the words, but model 'static_vectors' looks up each word alone. "
                "Give prompt=plain, or another model."
            )
        return None

    def shape(self) -> tuple[int, int]:
        """One layer, and the numbers per word."""
        return 1, layout(self._file, self.format).n_dims

    def layer_numbers(self) -> tuple[int, ...]:
        """Words alone are layer 0."""
        return (0,)

    def blueprint(self) -> Blueprint:
        """Return that there is no network."""
        return Blueprint("table", "table", 0, {}, (), None, "cpu", "float32")

    def size(self) -> ModelSize:
        """Words are looked up: nothing is multiplied, and little is held."""
        return ModelSize(n_bytes=0.0, multiplications_per_unit=0.0)

    def load(self) -> LoadedVectors:
        """Look how the file is written; its words are read story by story."""
        return LoadedVectors(self, self.shape()[1], lru_cache(maxsize=1)(self._looked_up))

    @property
    def _file(self) -> Path:
        return Path(self.path).expanduser()

    def _looked_up(self, units: tuple[str, ...]) -> list[FloatArray | None]:
        spellings = {unit: _spellings(unit, self.lower_case) for unit in set(units)}
        wanted = {spelling for known in spellings.values() for spelling in known}
        found = vectors(self._file, layout(self._file, self.format), wanted)
        chosen = {unit: next((one for one in known if one in found), None) for unit, known in spellings.items()}
        if self.weights == "random":
            found = {word: _random_vector(word, len(vector), self.seed) for word, vector in found.items()}
        names = [chosen[unit] for unit in units]
        return [None if name is None else found[name] for name in names]


@dataclass(frozen=True, eq=False)
class LoadedVectors:
    """A file of word vectors that is ready to be gone through.

    Parameters
    ----------
    model : StaticVectors
        The options it was opened with.
    n_dims : int
        Numbers per word.
    lookup : callable
        From units to their vectors, None for a word that the file does not have.
    """

    model: StaticVectors
    n_dims: int
    lookup: Callable[[tuple[str, ...]], list[FloatArray | None]]

    #: There is no network whose weights could be counted or compressed.
    network = None
    n_layers = 1
    arithmetic = ""

    def extract(self, stimulus: Stimulus, prompt: Prompt) -> Iterator[tuple[IntArray, FloatArray]]:
        """Look up every word of a story, and average those of a sentence where units are sentences; unknown ones are zeros.

        Yields
        ------
        at : array of int of shape (n_units,)
            Which words: all at once.
        values : array of float32 of shape (1, n_units, n_dims)

        Raises
        ------
        DataError
            If the file is broken, or does not have a word and ``unknown="error"``.
        """
        words, owner = _words(stimulus)
        found = self.lookup(words)
        missing = [at for at, vector in enumerate(found) if vector is None]
        if missing and self.model.unknown == "error":
            named = ", ".join(repr(words[at]) for at in missing[:5])
            raise DataError(
                f"story {stimulus.story!r}: {self.model.path} has no vector of {len(missing)} of {len(found)} words: "
                f"{named}{', …' if len(missing) > 5 else ''}. Correct the transcript, or give model.unknown=zero."
            )
        if len(missing) == len(found):
            raise DataError(
                f"story {stimulus.story!r}: {self.model.path} has no vector of any of its {len(found)} words. Its words "
                "are of another language, or written in another way."
            )
        nothing = np.zeros(self.n_dims, np.float32)
        each = np.stack([nothing if vector is None else vector for vector in found])
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        values = np.add.reduceat(each, starts) / np.bincount(owner).astype(np.float32)[:, None]
        yield np.arange(len(starts)), values[None]

    def read(self, passages: Sequence[Passage]) -> Iterator[tuple[IntArray, FloatArray]]:
        """Look up the words of every stretch and average them; unknown words count as zeros.

        Yields
        ------
        at : array of int of shape (n_stretches,)
            Which stretches: all at once.
        values : array of float32 of shape (1, n_stretches, n_dims)
        """
        words = [tuple(one.text[start:stop].split()) for one in passages for start, stop in one.parts]
        means = np.zeros((len(words), self.n_dims), np.float32)
        for at, own in enumerate(words):
            known = [vector for vector in self.lookup(own) if vector is not None]
            if known:
                means[at] = np.sum(known, axis=0) / len(own)
        yield np.arange(len(words)), means[None]

    def facts(self, stimulus: Stimulus) -> dict[str, float]:
        """Count words that have no vector."""
        return {"unknown_words": float(sum(vector is None for vector in self.lookup(_words(stimulus)[0])))}


def _words(stimulus: Stimulus) -> tuple[tuple[str, ...], IntArray]:
    """Words of all units, and which unit each is of: a unit may be a sentence."""
    split = [unit.split() for unit in stimulus.units]
    words = tuple(word for own in split for word in own)
    return words, np.repeat(np.arange(len(split)), [len(own) for own in split])


def _spellings(word: str, lower_case: bool) -> list[str]:
    """Ways to look a word up, the best first.

    >>> _spellings("“Tea’s,”", lower_case=True)
    ["“Tea's,”", "Tea's", "“tea's,”", "tea's"]
    """
    plain = word.replace("’", "'")
    inside = [at for at, character in enumerate(plain) if character.isalnum()]
    bare = plain[inside[0] : inside[-1] + 1] if inside else plain
    written = [plain, bare]
    return list(dict.fromkeys(written + [one.lower() for one in written] if lower_case else written))


def _random_vector(word: str, n_dims: int, seed: int) -> FloatArray:
    entropy = np.frombuffer(hashlib.sha256(word.encode()).digest(), np.uint32)
    return np.random.default_rng([seed, *entropy]).standard_normal(n_dims).astype(np.float32)
