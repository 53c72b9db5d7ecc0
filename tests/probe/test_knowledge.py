import json

import pytest

from brainexp.errors import ConfigError, DataError
from brainexp.interfaces import ProbeInput
from brainexp.probe.knowledge import Knowledge, read_facts

REL = [
    {"masked_sentences": ["Paris is the capital of [MASK] ."], "obj_label": "France"},
    {"masked_sentences": ["Rome is the capital of [MASK] ."], "obj_label": "Italy"},
    {"masked_sentences": ["Oslo is the capital of [MASK] ."], "obj_label": "Norway"},
    {"masked_sentences": ["Bonn is the capital of [MASK] ."], "obj_label": "West Germany"},
]


class Known:
    """Knows two capitals, one of them as a second guess; two words are no single token."""

    def fillers(self, texts, n_best):
        answers = {"Paris": ["france", "Spain"], "Rome": ["Gaul", "Italy"]}
        return [answers.get(text.split()[0], ["Utopia", "Nowhere"])[:n_best] for text in texts]

    def is_one_token(self, words):
        return [" " not in word for word in words]


def given(model):
    return ProbeInput((), {}, None, None, (0,), None, lambda: model, lambda _, compute: compute())


def written(folder, facts, name="facts.jsonl"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(json.dumps(fact) for fact in facts) + "\n")
    return folder


def test_right_words_count_at_their_rank(tmp_path):
    written(tmp_path / "capitals", [*REL, REL[0]])  # a fact that comes twice counts once

    found = Knowledge(folder=str(tmp_path), n_best=2).measure(given(Known()))

    row = found.tables["accuracy"].iloc[0]
    assert (row.n_facts, row.n_single_token, row.n_asked) == (4, 3, 3)
    assert found.metrics["capitals_top_1"] == pytest.approx(1 / 3)
    assert found.metrics["capitals_top_n"] == pytest.approx(2 / 3)
    assert found.metrics["top_1"] == found.metrics["capitals_top_1"]


def test_a_wider_net_catches_no_fewer(tmp_path):
    written(tmp_path, REL)

    top = [Knowledge(folder=str(tmp_path), n_best=n).measure(given(Known())).metrics["top_n"] for n in (1, 2)]

    assert top[0] < top[1]


def test_all_layouts_are_read(tmp_path):
    trex = {
        "obj_label": "France",
        "evidences": [
            {"masked_sentence": "Paris lies in [MASK].", "obj_surface": "France"},
            {"masked_sentence": "No gap here.", "obj_surface": "France"},
        ],
    }
    two = {"masked_sentences": ["Paris is a city.", "It lies in [MASK]."], "obj_label": "France"}
    long = {"masked_sentences": ["so " * 200 + "[MASK]"], "obj_label": "France"}
    written(tmp_path, [trex, two, long])

    assert list(read_facts(tmp_path / "facts.jsonl", 100)) == [
        ("Paris lies in [MASK].", "France"),
        ("Paris is a city. It lies in [MASK].", "France"),
    ]


def test_broken_lines_missing_files_and_options_are_refused(tmp_path):
    (tmp_path / "facts.jsonl").write_text('{"masked_sentences": ["a [MASK]"]}\n')
    with pytest.raises(DataError, match="line 1 is no fact .KeyError.'obj_label'"):
        list(read_facts(tmp_path / "facts.jsonl", 100))
    with pytest.raises(DataError, match="has no .jsonl files of facts"):
        Knowledge().require_ready()
    with pytest.raises(ConfigError, match="n_best and most_words must be at least 1, got 0"):
        Knowledge(n_best=0)
