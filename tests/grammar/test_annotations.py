"""Annotations as numbers."""

import numpy as np

from brainexp.grammar import ANNOTATION_COLUMNS, annotations, story
from brainexp.grammar.annotations import CONSTANT_COLUMNS
from brainexp.grammar.lexicon import lexicon


def test_every_space_has_a_row_for_each_word_and_its_columns() -> None:
    told = story(2, 500)

    spaces = annotations(told)

    assert spaces.keys() == ANNOTATION_COLUMNS.keys()
    for space, values in spaces.items():
        assert values.shape == (len(told.words), len(ANNOTATION_COLUMNS[space]))
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


def test_no_column_is_constant_over_a_few_stories_but_the_word_itself() -> None:
    several = [annotations(story(seed, 3000)) for seed in range(6)]

    constant = {
        (space, column)
        for space, columns in ANNOTATION_COLUMNS.items()
        for at, column in enumerate(columns)
        if np.ptp(np.concatenate([spaces[space][:, at] for spaces in several])) == 0
    }
    assert constant == CONSTANT_COLUMNS


def test_topic_columns_are_the_topics_of_the_lexicon() -> None:
    columns = {column for column in ANNOTATION_COLUMNS["discourse"] if column.startswith("topic=")}

    assert columns == {f"topic={topic}" for topic in lexicon().topics}


def test_columns_say_what_the_words_say() -> None:
    told = story(4, 800)

    spaces = annotations(told)

    plural = spaces["morphology"][:, ANNOTATION_COLUMNS["morphology"].index("number=plural")]
    human = spaces["semantics"][:, ANNOTATION_COLUMNS["semantics"].index("animacy=human")]
    assert plural.tolist() == [float(word.number == "plural") for word in told.words]
    assert human.tolist() == [float(word.animacy == "human") for word in told.words]
