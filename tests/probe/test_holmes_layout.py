import pytest

from brainexp.containers import Passage
from brainexp.errors import DataError
from brainexp.grammar import PROBES, write_holmes
from brainexp.probe.holmes_layout import config, folders, samples, task

ROWS = """id,inputs,context,label,set-0
0,"{inputs}","{context}",{label},train
1,"{inputs}","{context}",1,dev
2,"{inputs}","{context}",0,test
3,"{inputs}","{context}",1,train
"""


def written(tmp_path, kind, inputs, context="[]", label="0", n_labels=2):
    folder = tmp_path / "toy"
    folder.mkdir(parents=True)
    (folder / "samples.csv").write_text(ROWS.format(inputs=inputs, context=context, label=label), encoding="utf-8")
    (folder / "config-none.yaml").write_text(f"probe_task_type: {kind}\nnum_labels: {n_labels}\n", encoding="utf-8")
    return folder


def read(folder):
    about = {"competence": "syntax", "phenomenon": "toy", **config(folder)}
    return task("toy", about, list(samples(folder, about["probe_task_type"])))


@pytest.mark.parametrize(
    ("kind", "inputs", "context", "passages", "slots"),
    [
        ("SENTENCE", "['a fox']", "[]", [Passage("a fox", ((0, 5),))], ((0,),)),
        (
            "SENTENCE_PAIR_BI",
            "['a fox', 'it ran']",
            "",
            [Passage("a fox", ((0, 5),)), Passage("it ran", ((0, 6),))],
            ((0,), (1,)),
        ),
        ("SENTENCE_PAIR_CROSS", "['a fox', 'it ran']", "[]", [Passage("a fox it ran", ((0, 12),))], ((0,),)),
        ("SENTENCE_TOKENS", "[('fox', 0, 2, 5)]", "['a fox']", [Passage("a fox", ((2, 5),))], ((0,),)),
        (
            "SENTENCE_PAIR_TOKENS_BI",
            "[('fox', 0, 2, 5), ('it', 1, 0, 2)]",
            "['a fox', 'it ran']",
            [Passage("a fox", ((2, 5),)), Passage("it ran", ((0, 2),))],
            ((0,), (1,)),
        ),
        (
            "SENTENCE_PAIR_TOKENS_CROSS",
            "[('fox', 0, 2, 5), ('it', 1, 0, 2)]",
            "['a fox', 'it ran']",
            [Passage("a fox it ran", ((2, 5), (6, 8)))],
            ((0,), (1,)),
        ),
        (
            "SENTENCE_SPANS",
            "[('a', 0, 0, 1, 0), ('ran', 0, 6, 9, 1), ('fox', 0, 2, 5, 0)]",
            "['a fox ran']",
            [Passage("a fox ran", ((0, 1), (2, 5), (6, 9)))],
            ((0, 1), (2,)),
        ),
    ],
)
def test_every_kind_of_task_is_read(tmp_path, kind, inputs, context, passages, slots):
    found = read(written(tmp_path, kind, inputs, context))

    assert list(found.passages) == passages
    assert found.slots == (slots,) * 4
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.split.tolist() == ["train", "dev", "test", "train"]


def test_the_gold_sets_of_the_grammar_are_read_with_their_words(tmp_path):
    write_holmes(tmp_path / "gold", seed=0, n_samples=20)
    by_name = {probe.name: probe for probe in PROBES}

    found = [(folder.name, config(folder), folder) for folder in folders(tmp_path / "gold")]

    assert {name for name, _, _ in found} == set(by_name)
    for name, about, folder in found:
        one = task(name, about, list(samples(folder, about["probe_task_type"])))
        assert len(one.labels) == 20
        assert one.competence == by_name[name].competence
        assert one.is_regression == (by_name[name].num_labels == 1)
        if by_name[name].task_type == "SENTENCE_TOKENS":
            texts = [p.text[start:stop] for p in one.passages for start, stop in p.parts]
            first = next(iter(samples(folder, "SENTENCE_TOKENS"))).inputs[0][0]
            assert texts[one.slots[0][0][0]] == first[0][first[1][0] : first[1][1]]


@pytest.mark.parametrize(
    ("kind", "inputs", "label", "n_labels", "message"),
    [
        ("SENTENCE", "__import__('os').getcwd()", "0", 2, r"samples.csv, line 2: malformed node"),
        ("SENTENCE", "['unclosed", "0", 2, r"samples.csv, line 2: "),
        ("WORDS", "['a']", "0", 2, "probe_task_type 'WORDS' is not known. Known: SENTENCE, "),
        ("SENTENCE", "['a']", "2", 2, "has 3 different labels .* but num_labels: 2"),
        ("SENTENCE", "['a']", "deep", 1, "is a regression .* could not convert string to float: 'deep'"),
        ("SENTENCE", "['a']", "0", 0, "num_labels must be at least 1, got 0"),
        ("SENTENCE_TOKENS", "[('fox', 3, 2, 5)]", "0", 2, "line 2: list index out of range"),
    ],
)
def test_broken_sets_are_refused_with_their_place(tmp_path, kind, inputs, label, n_labels, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, kind, inputs, label=label, n_labels=n_labels))


def test_folders_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(DataError, match="has no folders with samples.csv"):
        folders(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        folders(tmp_path / "absent")


def test_a_missing_column_is_named(tmp_path):
    folder = written(tmp_path, "SENTENCE", "['a']")
    (folder / "samples.csv").write_text("id,inputs,label\n")

    with pytest.raises(DataError, match="has no column context, set-0"):
        read(folder)
