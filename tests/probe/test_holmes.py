from dataclasses import replace

import numpy as np
import pytest

from brainexp.errors import ConfigError
from brainexp.interfaces import ProbeInput
from brainexp.probe.control import permuted, shuffled
from brainexp.probe.holmes import Holmes
from brainexp.probe.holmes_layout import config, folders, samples, task

FEW = Holmes(gold_samples=400, tasks=("animacy", "relative-gap"), seeds=(0, 1))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINEXP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def tasks(cache):
    return {
        folder.name: task(folder.name, config(folder), list(samples(folder, config(folder)["probe_task_type"])))
        for folder in folders(FEW._folder())
        if folder.name in FEW.tasks
    }


def given(tasks, seed=0, kept=None):
    """Two layers: the second holds the labels of relative-gap, and of no other task."""
    label_of = {
        tasks["relative-gap"].passages[own[0][0]].text: label
        for own, label in zip(tasks["relative-gap"].slots, tasks["relative-gap"].labels, strict=True)
    }

    def read(name, passages):
        rng = np.random.default_rng(seed)
        texts = [one.text for one in passages for _ in one.parts]
        values = rng.standard_normal((2, len(texts), 10)).astype(np.float32)
        values[1, :, 0] += [3 * (2 * label_of[text] - 1) if text in label_of else 0 for text in texts]
        return values

    def read_untrained(name, passages):
        return np.random.default_rng(seed + 1).standard_normal((2, sum(len(p.parts) for p in passages), 10))

    def once(key, compute):
        return compute()

    return ProbeInput((), {}, np.random.default_rng(0), read, (0, 1), read_untrained, None, kept or once)


def test_a_planted_property_is_found_in_its_layer_and_its_task_only(tasks):
    found = FEW.measure(given(tasks))
    table = found.tables["scores"]

    score = table[(table.split == "test") & (table.control == "none")].groupby(["task", "layer"]).score.mean()
    assert score["relative-gap", 1] > 0.95
    assert abs(score["relative-gap", 0] - 0.5) < 0.2
    assert abs(score["animacy", 1] - 0.5) < 0.2
    assert found.metrics["syntax"] == pytest.approx(score["relative-gap", 1])
    assert found.metrics["syntax_dev_layer"] == pytest.approx(score["relative-gap", 1])
    assert found.metrics["score"] == pytest.approx((score["relative-gap", 1] + score["animacy", 1]) / 2)
    assert found.curves["syntax"] == pytest.approx([score["relative-gap", 0], score["relative-gap", 1]])


def test_controls_are_at_chance_and_selectivity_is_the_difference(tasks):
    probe = replace(FEW, controls=("random_labels", "permuted_words", "random_weights"), seeds=tuple(range(5)))

    found = probe.measure(given(tasks))

    table = found.tables["scores"]
    at_chance = table[(table.split == "test") & (table.control != "none") & (table.task == "relative-gap")]
    means = at_chance.groupby(["control", "layer"]).score.mean()
    assert len(means) == 6
    assert (abs(means - 0.5) < 0.2).all()
    at_last = table[(table.split == "test") & (table.layer == 1)].groupby(["control", "task"]).score.mean()
    expected = at_last["none"].mean() - at_last["random_weights"].mean()
    assert found.metrics["selectivity_random_weights"] == pytest.approx(expected)


def test_the_labels_that_are_told_are_short_to_send(tasks):
    table = FEW.measure(given(tasks)).tables["scores"]

    lengths = table[table.measure == "compression"].groupby(["task", "layer"]).score.mean()
    assert lengths["relative-gap", 1] > 1.3
    assert lengths["relative-gap", 0] < 1.05


def test_random_labels_change_places_inside_each_split(tasks):
    one = tasks["relative-gap"]
    other = shuffled(one)

    assert (other != one.labels).any()
    for split in ("train", "dev", "test"):
        assert sorted(other[one.rows(split)]) == sorted(one.labels[one.rows(split)])


def test_permuted_texts_have_the_same_words_and_stretches_go_with_theirs(tasks):
    for one in tasks.values():
        other = permuted(one)

        assert [p.text for p in other.passages] != [p.text for p in one.passages]
        for before, after in zip(one.passages, other.passages, strict=True):
            assert sorted(before.text.split()) == sorted(after.text.split())
            for (a, b), (c, d) in zip(before.parts, after.parts, strict=True):
                if (a, b) != (0, len(before.text)):
                    assert before.text[a:b] == after.text[c:d]


def test_a_smaller_share_keeps_dev_and_test(tasks):
    whole = tasks["animacy"]

    short = replace(FEW, train_share=1 / 32)._shortened(whole)

    assert len(short.rows("train")) == round(len(whole.rows("train")) / 32)
    assert len(short.rows("dev")) == len(whole.rows("dev"))
    assert len(short.rows("test")) == len(whole.rows("test"))


def test_what_is_kept_depends_on_options_and_data_not_on_where_they_are(tasks):
    keys = []

    def kept(key, compute):
        keys.append(key)
        return compute()

    one = replace(FEW, tasks=("animacy",), code_length=False)
    one.measure(given(tasks, kept=kept))
    replace(one, competences=("semantics",)).measure(given(tasks, kept=kept))
    replace(one, seeds=(3,)).measure(given(tasks, kept=kept))
    replace(one, train_share=0.5).measure(given(tasks, kept=kept))

    assert keys[0] == keys[1]
    assert keys[2] != keys[0]
    assert keys[3] != keys[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_share": 0.0}, r"train_share must lie in \(0, 1\], got 0.0"),
        ({"competences": ("grammar",)}, "competences must be some of morphology"),
        ({"seeds": ()}, "seeds must name at least one"),
        ({"legacy": True}, "Give code_length=false"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Holmes(**options)


def test_unknown_tasks_and_layers_are_refused(tasks):
    with pytest.raises(ConfigError, match=r"unknown task 'colour'\. Known: agent-patient"):
        replace(FEW, tasks=("colour",)).measure(given(tasks))
    with pytest.raises(ConfigError, match=r"the model has no layers \[5\]; it has \[0, 1\]"):
        replace(FEW, layers=(5,)).measure(given(tasks))


def test_what_is_needed_is_known_without_writing_the_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINEXP_CACHE", str(tmp_path))

    FEW.require_ready()
    with pytest.raises(ConfigError, match=r"unknown task 'colour'\. Known: agent-patient"):
        replace(FEW, tasks=("colour",)).require_ready()
    with pytest.raises(ConfigError, match="unknown task 'animacy'"):
        replace(FEW, competences=("syntax",)).require_ready()

    assert list(tmp_path.iterdir()) == []


def test_the_names_that_are_known_are_those_that_are_written(cache):
    from brainexp.grammar import PROBES

    whole = Holmes(gold_samples=400)
    assert set(whole.offered()) == {one.name for one in PROBES}


def test_a_second_probe_of_the_same_texts_reads_nothing(cache, composed, small_run, monkeypatch):
    """Two probes with other seeds, the second in a process that could not load the model."""
    from brainexp.experiment import Experiment, probes_of
    from brainexp.model.transformer import Transformer
    from brainexp.recordings import recorded

    loads = []
    load = Transformer.load
    monkeypatch.setattr(Transformer, "load", lambda self: (loads.append(1), load(self))[1])
    given = [
        "probe=[holmes]",
        "probe.holmes.gold_samples=400",
        "probe.holmes.tasks=[animacy]",
        "probe.holmes.layers=last",
        "probe.holmes.code_length=false",
    ]

    def probed(seeds):
        experiment = Experiment.from_config(composed(*small_run, *given, f"probe.holmes.seeds={seeds}"))
        return probes_of(experiment, recorded(experiment.dataset), {})["holmes"].tables["scores"]

    first, second = probed([0]), probed([1])

    assert len(loads) == 1
    assert not first.score.equals(second.score)


@pytest.mark.slow
def test_the_trained_ladder_knows_what_its_untrained_twin_does_not(cache):
    """At the layer that dev samples choose; reasoning by one set of its eight, see ``test_ladder.py``."""
    from brainexp.model.transformer import Transformer

    def reader(**options):
        network = Transformer(path="package:brainexp/model/tiny/m", **options).load()

        def read(name, passages):
            parts = list(network.read(passages))
            order = np.argsort(np.concatenate([at for at, _ in parts]))
            return np.concatenate([values for _, values in parts], axis=1)[:, order]

        return read

    probe = Holmes(seeds=(0, 1), controls=("random_labels", "random_weights"), code_length=False)
    both = ProbeInput(
        (), {}, None, reader(), tuple(range(5)), reader(weights="random"), None, lambda _, compute: compute()
    )

    table = probe.measure(both).tables["scores"]

    means = table.groupby(["control", "competence", "task", "layer", "split"]).score.mean().unstack("split")
    best = means.loc[means.dev.groupby(["control", "competence", "task"]).idxmax()]
    by_competence = best.test.groupby(["control", "competence"]).mean()
    print(by_competence.unstack("control").round(3))
    for competence in ("morphology", "syntax", "semantics", "discourse"):
        assert by_competence["none", competence] > by_competence["random_weights", competence] + 0.02, competence
    chance = {folder.name: 1 / task(folder.name, config(folder), list(samples(folder, config(folder)["probe_task_type"]))).n_labels
              for folder in folders(probe._folder()) if folder.name != "tree-depth"}  # fmt: skip
    random_labels = means.test["random_labels"].groupby("task").mean()
    for name, level in chance.items():
        assert random_labels[name] < level + 0.1, name
    assert abs(random_labels["tree-depth"]) < 0.1  # Pearson's r
