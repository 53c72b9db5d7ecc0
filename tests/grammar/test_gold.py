"""Probing sets: layout, splits, balance, and what must not give the label away."""

import ast
import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from brainexp.grammar import text
from brainexp.grammar.gold import PROBES, samples, sentences, write_holmes
from brainexp.grammar.lexicon import Lexicon, lexicon
from brainexp.grammar.probe import COMPETENCES, SPLITS, TASK_TYPES, Probe, Sample

CLASSIFIED = [probe for probe in PROBES if probe.num_labels > 1]
N_SAMPLES = 400


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gold") / "holmes"
    write_holmes(folder, seed=0, n_samples=100)
    return folder


def rows(root: Path, probe: Probe) -> list[dict[str, str]]:
    with (root / probe.name / "samples.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_competence_has_three_probes_or_more() -> None:
    counts = Counter(probe.competence for probe in PROBES)

    assert set(counts) == set(COMPETENCES)
    assert min(counts.values()) >= 3


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_files_have_the_holmes_layout(root: Path, probe: Probe) -> None:
    lines = (root / probe.name / "config-none.yaml").read_text(encoding="utf-8").splitlines()
    config = dict(line.split(": ", 1) for line in lines)
    table = rows(root, probe)

    assert config["probe_name"] == probe.name
    assert config["probe_task_type"] in TASK_TYPES
    assert config["num_labels"] == str(probe.num_labels)
    assert {"control_task_type", "phenomenon", "competence"} <= config.keys()
    assert list(table[0]) == ["id", "inputs", "context", "label", "set-0"]
    assert {row["set-0"] for row in table} == set(SPLITS)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_cells_are_literals_and_spans_point_at_their_tokens(root: Path, probe: Probe) -> None:
    for row in rows(root, probe):
        inputs, context = ast.literal_eval(row["inputs"]), ast.literal_eval(row["context"])

        assert len(inputs) == (2 if "PAIR" in probe.task_type else 1)
        for given in inputs:
            if "TOKENS" in probe.task_type:
                token, index, start, end = given
                assert context[index][start:end] == token
            else:
                assert isinstance(given, str)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_splits_share_no_sentence(probe: Probe) -> None:
    found: dict[str, set[str]] = {split: set() for split in SPLITS}
    for split, sample in drawn(probe):
        found[split].update(sentences(sample))

    assert found["train"].isdisjoint(found["dev"])
    assert found["train"].isdisjoint(found["test"])
    assert found["dev"].isdisjoint(found["test"])


@pytest.mark.parametrize("probe", CLASSIFIED, ids=lambda probe: probe.name)
def test_labels_are_balanced_in_every_split(probe: Probe) -> None:
    for split in SPLITS:
        counts = Counter(sample.label for where, sample in drawn(probe) if where == split)

        assert len(counts) == probe.num_labels
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("probe", CLASSIFIED, ids=lambda probe: probe.name)
def test_length_alone_is_near_chance(probe: Probe) -> None:
    train, test = halves(probe)

    votes: dict[tuple[int, ...], Counter[float]] = {}
    for sample in train:
        votes.setdefault(length(sample), Counter())[sample.label] += 1
    right = [
        votes[length(sample)].most_common(1)[0][0] == sample.label if length(sample) in votes else False
        for sample in test
    ]
    assert np.mean(right) < 1 / probe.num_labels + 0.1


@pytest.mark.parametrize(
    "name",
    [
        "agreement-distractor",
        "determiner-noun",
        "irregular-forms",
        "reflexive-agreement",
        "relative-gap",
        "main-voice",
        "selectional-restriction",
        "connective",
        "possession",
        "transitivity",
        "antonym-negation",
        "location",
        "transitivity-foreseen",
        "location-foreseen",
    ],
)
def test_a_bag_of_words_is_near_chance(name: str) -> None:
    probe = next(probe for probe in PROBES if probe.name == name)
    train, test = halves(probe)

    counts: dict[str, np.ndarray] = {}
    for sample in train:
        for word in bag(sample):
            counts.setdefault(word, np.ones(2))[int(sample.label)] += 1
    right = []
    for sample in test:
        evidence = sum((np.log(counts[word]) for word in bag(sample) if word in counts), np.zeros(2))
        right.append(int(evidence[1] > evidence[0]) == sample.label)

    assert 0.35 < np.mean(right) < 0.65


@pytest.mark.parametrize("name", ["transitivity-foreseen", "location-foreseen"])
def test_what_is_foreseen_is_not_told_by_words_in_their_places(name: str) -> None:
    probe = next(probe for probe in PROBES if probe.name == name)
    train, test = halves(probe)

    counts: dict[tuple[int, str], np.ndarray] = {}
    for sample in train:
        for placed in enumerate(str(sample.context[0]).split()):
            counts.setdefault(placed, np.ones(2))[int(sample.label)] += 1
    right = []
    for sample in test:
        placed_words = enumerate(str(sample.context[0]).split())
        evidence = sum((np.log(counts[placed]) for placed in placed_words if placed in counts), np.zeros(2))
        right.append(int(evidence[1] > evidence[0]) == sample.label)

    assert 0.35 < np.mean(right) < 0.65


def test_what_is_foreseen_is_told_by_the_names_and_things_that_come_twice() -> None:
    for name in ("transitivity-foreseen", "location-foreseen"):
        for _, sample in drawn(next(probe for probe in PROBES if probe.name == name)):
            first, second, asked = str(sample.context[0]).split(". ")
            if name == "transitivity-foreseen":
                told = first.split()[-1] == second.split()[0]
            else:
                told = f"with the {asked.split()[4]} " in first

            assert told == bool(sample.label)
            assert sample.inputs[0][0] == asked.split()[-1]


def test_stories_use_every_word_that_the_probes_ask_about() -> None:
    """A model that reads only stories can know each: 20 times in 300 000 words, its other forms included."""
    lemmas = forms(lexicon())
    told: Counter[str] = Counter()
    for seed in range(300):
        told.update(words(text(seed, 1000)))
    by_lemma: Counter[str] = Counter()
    for word, count in told.items():
        by_lemma.update(dict.fromkeys(lemmas.get(word, {word}), count))
    asked = {
        word
        for probe in PROBES
        if probe.name not in ("tree-depth", "next-sentence")  # their sentences are from stories
        for _, sample in drawn(probe)
        for sentence in sentences(sample)
        for word in words(sentence)
    }
    names = {name.lower() for ranked in lexicon().names.values() for name in ranked}

    often = [max(by_lemma[lemma] for lemma in lemmas.get(word, {word})) for word in sorted(asked)]
    rare = {word for word, count in zip(sorted(asked), often, strict=True) if count < 20}
    assert rare - names <= RARE
    assert {word for word in asked - names if told[word] < 4} <= RARE


def words(sentence: str) -> list[str]:
    return re.findall(r"[a-z]+", sentence.lower())


def forms(words: Lexicon) -> dict[str, set[str]]:
    """Lemmas that a form may belong to."""
    found: dict[str, set[str]] = {}
    for noun in words.nouns.values():
        for form in (noun.lemma, noun.plural):
            found.setdefault(form, set()).add(noun.lemma)
    for verb in words.verbs.values():
        for form in (verb.lemma, verb.third, verb.past, verb.participle, verb.gerund):
            found.setdefault(form, set()).add(verb.lemma)
    return found


#: Members of large classes, and two qualities, that occur 9 to 19 times.
RARE = frozenset(
    {"ant", "badger", "carp", "cod", "cricket", "lad", "loud", "narrow", "pike", "piglet", "spider", "turkey"}
    | {"wide"}
)


def drawn(probe: Probe) -> list[tuple[str, Sample]]:
    return list(samples(probe, np.random.default_rng(3), N_SAMPLES))


def halves(probe: Probe) -> tuple[list[Sample], list[Sample]]:
    everything = list(samples(probe, np.random.default_rng(5), 2 * N_SAMPLES))
    train = [sample for split, sample in everything if split == "train"]
    return train, [sample for split, sample in everything if split != "train"]


def bag(sample: Sample) -> list[str]:
    return [word for sentence in sentences(sample) for word in sentence.lower().split()]


def length(sample: Sample) -> tuple[int, ...]:
    return tuple(len(text.split()) for text in (*sample.inputs, *sample.context) if isinstance(text, str))


def test_a_seed_writes_the_same_files_again(root: Path, tmp_path: Path) -> None:
    write_holmes(tmp_path / "again", seed=0, n_samples=100)

    for probe in PROBES:
        path = Path(probe.name) / "samples.csv"
        assert (tmp_path / "again" / path).read_bytes() == (root / path).read_bytes()


def test_a_folder_that_exists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"):
        write_holmes(tmp_path, seed=0, n_samples=100)


def test_too_few_samples_are_refused_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 20, got seed=0 and n_samples=3"):
        write_holmes(tmp_path / "gold", seed=0, n_samples=3)


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    same = Sample(("The cat slept.",), (), 0)
    narrow = Probe("narrow", "syntax", "none", "SENTENCE", 2, "none", lambda *_: same)

    with pytest.raises(ValueError, match="'narrow' found no new sentence for its train split after 1 samples"):
        write_holmes(tmp_path / "gold", seed=0, n_samples=100, probes=(narrow,))

    assert list(tmp_path.iterdir()) == []
