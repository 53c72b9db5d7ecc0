"""Runs of different length and clock, trimmed and stacked; feature spaces by name."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from brainexp.align.downsample import lanczos, total
from brainexp.align.lexical import word_frequency, word_length
from brainexp.containers import Clock, Facts, OnDisk, Responses, Stimulus, Timing
from brainexp.errors import ConfigError, DataError
from brainexp.recordings import ALL_LOW_LEVEL, OF_TIME, OF_WORDS, feature_space, layer_designs, recorded
from brainexp.settings import Align

WORDS = tuple("the old crow drank cold tea and the sly fox went home".split())
CLOCKS = (Clock(-1.0, 2.0, 12), Clock(0.0, 1.5, 10), Clock(3.0, 2.0, 9))
N_VOXELS = {"ada": 3, "bob": 5}
ALIGN = Align(delays=(1, 2))


def story(number):
    n_words = (12, 9, 7)[number]
    onset_s = CLOCKS[number].start_s + 0.5 + np.arange(n_words) * 1.2
    kind = np.random.default_rng(number).standard_normal((n_words, 2))
    return Stimulus(f"story {number}", WORDS[:n_words], onset_s, onset_s + 0.4, {"kind": kind, "noun": kind[:, :1] > 0})


@dataclass(frozen=True)
class Lab:
    """Two people, three runs of different TR and length."""

    trim_start_s: float = 3.0
    trim_stop_s: float = 2.0
    late: str = ""
    offset: float = 0.0

    def facts(self):
        return Facts(tuple(N_VOXELS), ("story 0",), {}, N_VOXELS, 2.0, licence="", doi="", citation="", language="de")

    def chosen_subjects(self):
        return tuple(N_VOXELS)

    def stimuli(self):
        return tuple(story(number) for number in range(3))

    def responses(self, subject):
        return tuple(self.response(subject, number) for number in range(3))

    def response(self, subject, number):
        clock = CLOCKS[number]
        rng = np.random.default_rng([len(subject), ord(subject[0]), number])
        values = self.offset + rng.standard_normal((clock.n_trs, N_VOXELS[subject]))
        nuisance = {"motion": rng.standard_normal((clock.n_trs, 2)), "sound": rng.standard_normal((clock.n_trs, 1))}
        own = replace(clock, start_s=clock.start_s + 0.5) if subject == self.late else clock
        return Responses(subject, f"story {number}", values, own, nuisance)


@pytest.fixture
def recordings():
    return recorded(Lab())


def test_runs_are_trimmed_in_seconds_by_their_own_tr_and_stacked(recordings):
    assert [range(12)[rows] for rows in recordings.rows] == [range(2, 11), range(2, 8), range(2, 8)]
    assert recordings.run_lengths == [9, 6, 6]
    runs = [np.arange(clock.n_trs)[:, None] + 100 * at for at, clock in enumerate(CLOCKS)]
    assert recordings.stacked(runs)[:, 0].tolist() == [*range(2, 11), *range(102, 108), *range(202, 208)]


def test_responses_of_each_subject_are_theirs_less_the_mean_of_each_voxel(recordings):
    assert list(recordings.responses) == ["ada", "bob"]
    for subject, n_voxels in N_VOXELS.items():
        values = recordings.stacked([run.values for run in Lab().responses(subject)])
        assert recordings.responses[subject].shape == (21, n_voxels)
        assert recordings.responses[subject].dtype == np.float32
        np.testing.assert_allclose(recordings.responses[subject], values - values.mean(axis=0), atol=1e-6)


def test_a_large_baseline_costs_no_digits():
    plain, high = recorded(Lab()), recorded(Lab(offset=1e6))

    np.testing.assert_allclose(high.responses["ada"], plain.responses["ada"], atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_stay_so_in_their_voxel_alone(bad):
    class Broken(Lab):
        def response(self, subject, number):
            one = super().response(subject, number)
            if number == 1:
                one.values[4, 1] = bad
            return one

    found = recorded(Broken()).responses["ada"]

    assert (~np.isfinite(found)).any(axis=0).tolist() == [False, True, False]


def test_nuisance_regressors_of_a_subject_stand_side_by_side(recordings):
    runs = Lab().responses("bob")
    expected = recordings.stacked([np.hstack([run.nuisance["sound"], run.nuisance["motion"]]) for run in runs])

    np.testing.assert_array_equal(recordings.nuisance_rows(("sound", "motion"), "bob"), expected)


def test_subjects_on_different_clocks_are_refused():
    with pytest.raises(
        DataError, match="subjects 'ada' and 'bob' were recorded on different clocks.*dataset.subjects=bob"
    ):
        recorded(Lab(late="bob"))


def test_words_outside_the_recording_are_refused():
    class Long(Lab):
        def stimuli(self):
            first, *others = super().stimuli()
            return (replace(first, onset_s=first.onset_s + 15, offset_s=first.offset_s + 15), *others)

    with pytest.raises(DataError, match=r"story 'story 0': \d+ of 12 words lie outside the recording of subject 'ada'"):
        recorded(Long())


def test_layers_are_brought_to_trs_inside_each_run(recordings):
    rng = np.random.default_rng(0)
    features = {one.story: rng.standard_normal((3, len(one.units), 4)) for one in recordings.stimuli}

    designs = layer_designs(ALIGN, recordings, features)

    assert len(designs) == 3
    for layer, made in enumerate(designs):
        design = made()
        assert design.name == f"layer {layer}"
        assert (design.delays, design.rows) == ((1, 2), recordings.rows)
        for run, one, clock in zip(design.runs, recordings.stimuli, CLOCKS, strict=True):
            expected = lanczos(one.midpoint_s, clock) @ features[one.story][layer]
            np.testing.assert_allclose(run, expected, atol=1e-5)


def test_the_downsampling_is_that_of_the_options(recordings):
    features = {one.story: np.ones((1, len(one.units), 1)) for one in recordings.stimuli}

    design = layer_designs(Align(downsample="sum", delays=(0,)), recordings, features)[0]()

    for run, one, clock in zip(design.runs, recordings.stimuli, CLOCKS, strict=True):
        np.testing.assert_array_equal(run[:, 0], total(one.midpoint_s, clock).sum(axis=1))


def test_all_names_are_known_and_make_a_space_of_every_row(recordings):
    assert recordings.spaces() == (*OF_WORDS, *OF_TIME, ALL_LOW_LEVEL, "motion", "sound", "kind", "noun", "annotations")
    for name in recordings.spaces():
        made = feature_space(name, ALIGN, recordings)
        for design in made if isinstance(made, list) else [made]:
            assert design.name == name
            assert design.n_rows == 21
            assert [len(run) for run in design.runs] == [12, 10, 9]


def of_words(name, recordings):
    values = {
        "word_length": lambda one: word_length(one.units),
        "word_frequency": lambda one: word_frequency(one.units, "de"),
        "kind": lambda one: one.annotations["kind"],
        "annotations": lambda one: np.hstack([one.annotations["kind"], one.annotations["noun"]]),
    }[name]
    return [lanczos(one.midpoint_s, clock) @ values(one) for one, clock in zip(recordings.stimuli, CLOCKS, strict=True)]


@pytest.mark.parametrize("name", ["word_length", "word_frequency", "kind", "annotations"])
def test_properties_of_words_come_to_trs_as_features_do(recordings, name):
    design = feature_space(name, ALIGN, recordings)

    assert design.delays == (1, 2)
    for run, expected in zip(design.runs, of_words(name, recordings), strict=True):
        np.testing.assert_allclose(run, expected, atol=1e-5)


def test_word_rate_is_delayed_and_time_is_not(recordings):
    rate, position = (feature_space(name, ALIGN, recordings) for name in ("word_rate", "position"))

    assert rate.delays == (1, 2)
    assert rate.runs[1].sum() == 9
    assert position.delays == (0,)
    for run in position.runs:  # the same second of every run has the same value
        np.testing.assert_array_equal(run, position.runs[0][: len(run)])


def test_a_nuisance_regressor_is_each_subjects_own_and_is_not_delayed(recordings):
    spaces = feature_space("motion", ALIGN, recordings)

    for design, subject in zip(spaces, N_VOXELS, strict=True):
        assert design.delays == (0,)
        for run, one in zip(design.runs, Lab().responses(subject), strict=True):
            np.testing.assert_array_equal(run, one.nuisance["motion"])


def test_low_level_is_all_of_them_side_by_side(recordings):
    design = feature_space(ALL_LOW_LEVEL, ALIGN, recordings)

    parts = [feature_space(name, ALIGN, recordings) for name in OF_WORDS]
    assert design.delays == ALIGN.delays
    assert design.n_features == sum(part.n_features for part in parts)
    for at, run in enumerate(design.runs):
        np.testing.assert_array_equal(run, np.hstack([part.runs[at] for part in parts]))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("word_lenght", r"unknown feature space 'word_lenght'. Did you mean 'word_length'\? Known: annotations"),
        ("notion", r"unknown feature space 'notion'. Did you mean 'motion'\?"),
        ("annotation", r"unknown feature space 'annotation'. Did you mean 'annotations'\?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(recordings, name, words):
    with pytest.raises(ConfigError, match=words):
        feature_space(name, ALIGN, recordings)


def test_without_annotations_none_are_offered():
    class Plain(Lab):
        def stimuli(self):
            return tuple(replace(one, annotations={}) for one in super().stimuli())

    found = recorded(Plain())

    assert "annotations" not in found.spaces()
    with pytest.raises(ConfigError, match="unknown feature space 'annotations'"):
        feature_space("annotations", ALIGN, found)


class Stored(Lab):
    """The same, read when asked for."""

    def response(self, subject, number):
        one = super().response(subject, number)

        def read(rows, into):
            assert into.flags.c_contiguous
            into[:] = one.values[rows]

        return replace(one, values=OnDisk(one.values.shape, read))


def test_responses_on_disk_are_those_in_memory():
    np.testing.assert_allclose(recorded(Stored()).values, recorded(Lab()).values, atol=1e-6)


def test_all_subjects_lie_in_one_array(recordings):
    assert recordings.values.shape == (21, sum(N_VOXELS.values()))
    for found in recordings.responses.values():
        assert np.shares_memory(found, recordings.values)


def test_other_columns_than_declared_are_refused():
    class Wide(Lab):
        def response(self, subject, number):
            one = super().response(subject, number)
            return replace(one, values=np.hstack([one.values, one.values]))

    with pytest.raises(DataError, match="subject 'ada', story 'story 0': 6 columns, but 3 are declared"):
        recorded(Wide())


def test_recordings_in_another_order_than_stimuli_are_refused():
    class Turned(Lab):
        def responses(self, subject):
            return super().responses(subject)[::-1]

    with pytest.raises(
        DataError, match="subject 'ada': recordings are of story 2, story 1, story 0, but stimuli are story 0,"
    ):
        recorded(Turned())


class Noted(Lab):
    """With triggers of one story, and something to say."""

    late_s: float = 0.0

    def timings(self):
        clock = CLOCKS[1]
        return {"story 1": Timing(trigger_s=clock.start_s + self.late_s + clock.tr_s * np.arange(clock.n_trs))}

    def remarks(self):
        return ("bob is tired.",)


def test_clocks_are_audited_and_remarks_handed_on():
    recordings = recorded(Noted())

    assert [audit.n_triggers for audit in recordings.audits] == [0, 10, 0]
    assert recordings.remarks == ("bob is tired.",)

    class Late(Noted):
        late_s = 0.7

    with pytest.raises(
        DataError, match=r"clock_tolerance_s=0.5 s. story 'story 1': triggers lie up to 0.70 s beside the clock"
    ):
        recorded(Late())
    assert recorded(Late(), tolerance_s=1.0).audits[1].off_s == pytest.approx(0.7)


def test_a_tolerance_must_be_positive():
    with pytest.raises(ConfigError, match="clock_tolerance_s must be positive, in seconds, got 0"):
        Align(clock_tolerance_s=0.0)
