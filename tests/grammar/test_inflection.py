"""Forms of words."""

import doctest

from brainexp.grammar import inflection
from brainexp.grammar.lexicon import lexicon


def test_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(inflection).failed == 0


def test_irregular_forms_come_from_the_word_lists() -> None:
    words = lexicon()

    assert words.nouns["goose"].plural == "geese"
    assert words.verbs["ingest", "eat"].participle == "eaten"
    assert words.nouns["sparrow"].kind == "bird"
    assert words.hypernyms(words.nouns["sparrow"]) == ("bird", "animal", "living", "thing")


def test_every_selection_names_a_class_or_a_noun() -> None:
    words = lexicon()
    known = words.parents.keys() | words.nouns.keys()

    named = {name for verb in words.verbs.values() for name in (*verb.subjects, *verb.objects, *verb.instruments)}
    assert named <= known
