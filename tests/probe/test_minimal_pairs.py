import json
from itertools import pairwise

import numpy as np
import pytest

from brainexp.containers import Likelihoods
from brainexp.errors import ConfigError, DataError
from brainexp.interfaces import ProbeInput
from brainexp.model.transformer import Transformer
from brainexp.probe.minimal_pairs import MinimalPairs, read_pairs
from tests.conftest import DATA


class Counted:
    """Finds a text the likelier the fewer letters x it has; every word is a token."""

    def likelihoods(self, texts, *, within_words="all"):
        found = []
        for text in texts:
            log_p = np.array([-1.0 - word.count("x") for word in text.split()])
            found.append(Likelihoods(log_p, np.zeros(len(log_p), int), np.ones(len(log_p), int)))
        return found


def given(model=None, kept=None):
    return ProbeInput(
        (), {}, None, None, (0,), None, lambda: model or Counted(), kept or (lambda _, compute: compute())
    )


def folder(tmp_path, **paradigms):
    for name, pairs in paradigms.items():
        lines = [
            {"sentence_good": g, "sentence_bad": b, "linguistics_term": "toy", "field": "syntax"} for g, b in pairs
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return str(tmp_path)


def test_the_likelier_sentence_counts_and_a_tie_is_half_a_hit(tmp_path):
    root = folder(tmp_path, one=[("a b", "a x"), ("a x", "a b")], two=[("a", "x"), ("a", "b")])

    found = MinimalPairs(root).measure(given())

    table = found.tables["accuracy"].set_index("paradigm")
    assert table.accuracy.to_dict() == {"one": 0.5, "two": 0.75}
    assert found.metrics == {"accuracy": 0.625, "toy_accuracy": 0.625}
    assert table.n_pairs.to_dict() == {"one": 2, "two": 2}


def test_length_counts_unless_normalised(tmp_path):
    root = folder(tmp_path, one=[("a b c d", "x")])

    accuracy = {
        how: MinimalPairs(root, normalise=how).measure(given()).metrics["accuracy"] for how in ("none", "tokens")
    }

    assert accuracy == {"none": 0.0, "tokens": 1.0}


def test_only_the_first_pairs_when_asked(tmp_path):
    root = folder(tmp_path, one=[("a", "x"), ("x", "a")])

    assert MinimalPairs(root, most_pairs=1).measure(given()).metrics["accuracy"] == 1.0


def test_what_is_kept_depends_on_the_pairs_and_options(tmp_path):
    keys = []

    def kept(key, compute):
        keys.append(key)
        return compute()

    root = folder(tmp_path, one=[("a", "x"), ("x", "a")])
    for probe in (
        MinimalPairs(root),
        MinimalPairs(root),
        MinimalPairs(root, most_pairs=1),
        MinimalPairs(root, normalise="tokens"),
    ):
        probe.measure(given(kept=kept))

    assert keys[0] == keys[1]
    assert all(one != other for one, other in pairwise(keys[1:]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no pairs"),
        ("{}\n", "line 1 is no pair .KeyError.'sentence_good'"),
        ('{"a": 1}\nno\n', "line 1 is no pair"),
    ],
)
def test_broken_files_are_refused_with_their_line(tmp_path, text, message):
    (tmp_path / "one.jsonl").write_text(text)

    with pytest.raises(DataError, match=message):
        read_pairs(tmp_path / "one.jsonl")


def test_a_folder_without_pairs_and_impossible_options_are_refused(tmp_path):
    with pytest.raises(DataError, match="has no .jsonl files"):
        MinimalPairs(str(tmp_path)).measure(given())
    with pytest.raises(ConfigError, match="most_pairs must be at least 1 or null, got 0"):
        MinimalPairs(str(tmp_path), most_pairs=0)


@pytest.mark.data
def test_blimp_is_read_whole_and_scored():
    root = DATA / "blimp"
    files = sorted(root.glob("*.jsonl"))
    assert len(files) == 67
    assert {len(read_pairs(file)) for file in files} == {200}

    model = Transformer(path="package:brainexp/model/tiny/xs").language_model()
    accuracy = MinimalPairs(str(root), most_pairs=5).measure(given(model)).tables["accuracy"]

    assert len(accuracy) == 67
    assert set(accuracy.field) == {"morphology", "semantics", "syntax", "syntax_semantics", "syntax/semantics"} & set(
        accuracy.field
    )
    assert accuracy.accuracy.between(0, 1).all()
