"""Datasets hold what they declare, whoever wrote them; a failure shows both side by side."""

import dataclasses
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from brainexp import interfaces, registry
from brainexp.align.trim import kept_rows
from brainexp.cli import execute
from brainexp.dataset.alice import Alice
from brainexp.dataset.passage import Passage
from brainexp.dataset.synthetic import Synthetic
from brainexp.dataset.textfile import NON_SPEECH
from brainexp.registry import DATASETS
from tests.dataset.replicas import REPLICAS, declare

MADE = {"passage": Passage, "synthetic": Synthetic}
ON_REAL_DATA = ("alice",)
#: A dataset of the module `tests.contract.plugin`, and how a package would name it.
PLUGIN = "whistles"
ENTRY_POINT = EntryPoint(PLUGIN, "tests.contract.plugin", "brainexp.plugins")


@pytest.fixture
def plugged_in(monkeypatch):
    """Install the plugin, and take it out again: other tests count the program's own datasets."""
    monkeypatch.setattr(registry, "entry_points", lambda group: [ENTRY_POINT] if group == ENTRY_POINT.group else [])
    monkeypatch.setattr(DATASETS, "_members", dict(DATASETS._members))
    monkeypatch.delitem(sys.modules, ENTRY_POINT.value, raising=False)
    registry.load_plugins()


@pytest.fixture(
    params=[PLUGIN, *MADE, *(pytest.param(name, marks=pytest.mark.data) for name in ON_REAL_DATA), *REPLICAS]
)
def dataset(request, alice_root, tmp_path, monkeypatch):
    if request.param == PLUGIN:
        request.getfixturevalue("plugged_in")
        return DATASETS.build({"name": PLUGIN})
    if request.param in MADE:
        return MADE[request.param]()
    if request.param in ON_REAL_DATA:
        return Alice(root=str(alice_root))
    declare(request.param, monkeypatch)
    return DATASETS.build({"name": request.param, "root": str(REPLICAS[request.param][0](tmp_path / "replica"))})


def declared_facts(dataset):
    facts = dataset.facts()
    return {
        "subjects": facts.subjects,
        "stories": facts.stories,
        **{f"TRs of {story}": facts.n_trs[story] for story in facts.stories},
        **{f"voxels of {subject}": facts.n_voxels[subject] for subject in facts.subjects},
        "seconds per TR": facts.tr_s,
        "trimming, s": facts.trim_s,
        "test stories": facts.test_stories,
        "responses stay on disk": facts.read_by_story,
    }


def found_facts(dataset):
    by_subject = {subject: dataset.responses(subject) for subject in dataset.chosen_subjects()}
    runs = [run for own in by_subject.values() for run in own]
    trs = {story: {len(run.values) for run in runs if run.story == story} for story in dataset.facts().stories}
    stories = tuple(stimulus.story for stimulus in dataset.stimuli())
    return {
        "subjects": tuple(by_subject),
        "stories": stories,
        **{f"TRs of {story}": _only(lengths) for story, lengths in trs.items()},
        **{f"voxels of {who}": _only({run.values.shape[1] for run in own}) for who, own in by_subject.items()},
        "seconds per TR": _only({run.clock.tr_s for run in runs}),
        "trimming, s": (dataset.trim_start_s, dataset.trim_stop_s),
        "test stories": tuple(story for story in stories if story in dataset.facts().test_stories),
        "responses stay on disk": not any(isinstance(run.values, np.ndarray) for run in runs),
    }


def _only(values):
    return next(iter(values)) if len(values) == 1 else sorted(values)


def side_by_side(declared, found):
    """What differs, a line each, both sides in columns; empty where nothing does."""
    names = [name for name in {**declared, **found} if declared.get(name) != found.get(name)]
    rows = [("", "declared", "found"), *((name, str(declared.get(name)), str(found.get(name))) for name in names)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) if names else ""


def test_declared_facts_are_those_of_the_data(dataset):
    differences = side_by_side(declared_facts(dataset), found_facts(dataset))

    assert not differences, f"\n{differences}"
    assert dataset.facts().licence
    assert dataset.facts().citation


def test_a_plugin_s_dataset_is_built_from_options_and_serves_the_protocol(plugged_in):
    built = DATASETS.build({"name": PLUGIN, "n_words": 100})

    assert isinstance(built, interfaces.Dataset)
    assert DATASETS.build(DATASETS.options(built)) == built
    assert len(built.stimuli()[0].units) == 100
    with pytest.raises(
        registry.ConfigError, match=f"unknown option of dataset '{PLUGIN}': 'n_word'. Did you mean 'n_words'"
    ):
        DATASETS.build({"name": PLUGIN, "n_word": 100})


def test_a_plugin_s_dataset_runs_whole_and_what_is_planted_in_it_is_found(plugged_in, composed, tmp_path):
    config = composed(
        "model=tiny_xs", "model.context_words=4", "baselines=[word_length]", "partition.spaces=[]", "split.by=block",
        "split.folds=3", "encoder.alphas=[1,100,10000]", "scoring.permutations=50", "ceiling.method=inter_subject",
        "ceiling.bootstraps=0", "damage.measure=false", "report.figures=false", "tracking.uri=null",
    )  # fmt: skip

    result = execute({**config, "dataset": DATASETS.options(DATASETS.build({"name": PLUGIN}))}, tmp_path / "run")

    assert result.metrics["alignment/LIFG/r"] > 0.3
    assert abs(result.metrics["alignment/LPTL/r"]) < 0.25


def test_every_dataset_is_tested():
    """A new one needs a simulation, real data or a replica."""
    assert sorted([*MADE, *ON_REAL_DATA, *REPLICAS]) == sorted(
        name for name in DATASETS.names() if DATASETS.member(name).__module__.startswith("brainexp.")
    )


def test_a_difference_is_shown_side_by_side():
    class Shorter(Passage):
        def responses(self, subject):
            first, *others = super().responses(subject)
            clock = dataclasses.replace(first.clock, n_trs=first.clock.n_trs - 1)
            return (dataclasses.replace(first, values=first.values[:-1], clock=clock), *others)

    one = Shorter(n_subjects=1)
    story, n_trs = next(iter(one.facts().n_trs.items()))
    name = f"TRs of {story}"

    assert side_by_side(declared_facts(one), found_facts(one)).splitlines() == [
        f"{'':{len(name)}}  declared  found",
        f"{name}  {n_trs:<8}  {n_trs - 1}",
    ]


def test_space_and_ceiling_have_a_place_for_every_column(dataset):
    for subject, n_voxels in dataset.facts().n_voxels.items():
        assert dataset.space(subject).n_voxels == n_voxels
        assert dataset.ceiling(subject).shape == (n_voxels,)


def test_words_lie_inside_every_recording(dataset):
    for subject in dataset.facts().subjects[:2]:
        for stimulus, run in zip(dataset.stimuli(), dataset.responses(subject), strict=True):
            assert stimulus.story == run.story
            assert stimulus.midpoint_s.min() >= run.clock.start_s
            assert stimulus.midpoint_s.max() <= run.clock.end_s


def test_kept_rows_are_numbers(dataset):
    """What a release cut off is NaN, and lies in what is trimmed."""
    for run in dataset.responses(dataset.facts().subjects[0]):
        kept = kept_rows(run.clock, dataset.trim_start_s, dataset.trim_stop_s)
        assert np.isfinite(run.values[kept]).all()


def test_no_mark_of_silence_or_breath_counts_as_a_word(dataset):
    assert dataset.facts().words.startswith("every")
    for stimulus in dataset.stimuli():
        assert not {unit.lower().strip("{}") for unit in stimulus.units} & NON_SPEECH
