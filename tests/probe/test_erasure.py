"""Planted words, layers and voxels: what drives a voxel is known, and so what must be left when it is erased."""

import dataclasses

import numpy as np
import pytest

from brainexp.align.fold import folds_of_blocks, folds_of_runs
from brainexp.containers import Clock, Stimulus
from brainexp.encoder.ridge import Ridge
from brainexp.encoder.stacked import Stacked
from brainexp.encoding import encoding_again
from brainexp.errors import ConfigError, DataError
from brainexp.evaluation import Target, evaluated
from brainexp.interfaces import ProbeInput
from brainexp.probe.erasure import ALL_VOXELS, TOGETHER, Erasure
from brainexp.recordings import Recordings, layer_designs, word_weights
from brainexp.settings import Align

SUBJECTS = ("s1", "s2", "s3", "s4")
N_WORDS, TR_S = 240, 1.0
REGIONS = {"a": np.arange(3), "b": np.arange(3, 6), ALL_VOXELS: np.arange(6)}
ALIGN = Align(downsample="sum", delays=(1, 2))
#: How much of either property each layer holds.
STRENGTH = (2.0, 1.0, 0.5)


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    recordings: Recordings
    features: dict
    folds: tuple
    target: Target

    def given(self, encoder=None, encoding=True, seed=0):
        encoder = Ridge(alphas=(1.0, 100.0), device="cpu") if encoder is None else encoder
        layers = layer_designs(ALIGN, self.recordings, self.features)
        scored = evaluated(encoder, layers, self.target, self.folds, "model", "layers", numbers=(0, 1, 2))
        regions = tuple(
            (subject, roi, 6 * number + columns)
            for number, subject in enumerate(SUBJECTS)
            for roi, columns in REGIONS.items()
        )
        given = (ALIGN, self.recordings, scored, self.target, self.folds, regions, len(layers))
        offered = encoding_again(encoder, *given)
        return ProbeInput(
            self.recordings.stimuli,
            self.features,
            np.random.default_rng(seed),
            None,
            (0, 1, 2),
            None,
            None,
            None,
            encoding=(lambda: offered) if encoding else None,
        )


def world(seed=0, n_stories=6, blocks=False):
    """Properties "a" and "b" of words, alike for three words as in sentences, each driving three voxels of everybody."""
    rng = np.random.default_rng(seed)
    stimuli, features, runs = [], {}, []
    mixing = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    for number in range(n_stories):
        labels = np.repeat(rng.integers(0, 2, (N_WORDS // 3, 2)), 3, axis=0).astype(np.float32)
        onset_s = 0.4 * np.arange(N_WORDS)
        words = tuple("x" * int(length) for length in rng.integers(1, 9, N_WORDS))
        annotations = {"a": labels[:, :1], "b": labels[:, 1:]}
        stimuli.append(
            Stimulus(f"story{number}", words, onset_s, onset_s + 0.3 + 0.05 * rng.random(N_WORDS), annotations)
        )
        layers = rng.standard_normal((len(STRENGTH), N_WORDS, 16))
        layers[:, :, :2] += np.array(STRENGTH)[:, None, None] * (labels - labels.mean(axis=0))
        features[f"story{number}"] = (layers @ mixing).astype(np.float32)
        runs.append(labels)
    clocks = tuple(Clock(0.0, TR_S, int(0.4 * N_WORDS) + 4) for _ in stimuli)
    rows = tuple(slice(0, clock.n_trs) for clock in clocks)
    empty = {subject: {} for subject in SUBJECTS}
    columns = {one: slice(at, at + 1) for at, one in enumerate(SUBJECTS)}
    recordings = Recordings(tuple(stimuli), np.zeros((1, len(SUBJECTS))), columns, empty, clocks, rows, "en")
    drives = [
        np.vstack([np.zeros((1, 2)), (weights @ (labels - labels.mean(axis=0)))[:-1]])
        for weights, labels in zip(word_weights(ALIGN, recordings), runs, strict=True)
    ]
    signal = np.repeat(np.concatenate(drives), 3, axis=1)
    values = np.hstack([signal + 0.6 * rng.standard_normal(signal.shape) for _ in SUBJECTS]).astype(np.float32)
    owner = np.repeat(np.arange(len(SUBJECTS)), 6)
    lengths = recordings.run_lengths
    folds = folds_of_blocks(lengths, 3, 2) if blocks else folds_of_runs(lengths, 3)
    return World(recordings, features, folds, Target(values, owner, np.ones(24, bool)))


@pytest.fixture(scope="module")
def planted():
    return world()


def means(result, name, roi, **columns):
    table = result.tables["alignment"]
    return table[(table.property == name) & (table.roi == roi) & table.layer.isna()].mean(numeric_only=True)


@pytest.fixture(scope="module", params=["leace", "inlp", "ridge"])
def erased(request, planted):
    return Erasure(properties=("a", "b"), method=request.param).measure(planted.given())


def chance_bound(n_units):
    """Three standard errors of a balanced accuracy of two classes, above chance as a share; three words share a label."""
    return 3 / np.sqrt(n_units / 3)


def test_a_property_that_drives_a_voxel_takes_its_r_away_and_controls_do_not(erased):
    for own, other in (("a", "b"), ("b", "a")):
        driven, spared = means(erased, own, own), means(erased, own, other)

        assert driven.r_before > 0.45
        assert abs(driven.r_after) < 0.1
        assert driven.drop_random < driven["drop"] / 3
        assert driven.drop_shuffled < driven["drop"] / 3
        assert spared.r_after > spared.r_before - 0.05
        tests = erased.tables["tests"]
        found = tests[(tests.property == own) & (tests.roi == own)].set_index("reference")
        assert (found.p_t_adjusted < 0.05).all()
        assert (found.difference < -0.3).all()
    assert erased.metrics["a/drop"] == pytest.approx(means(erased, "a", ALL_VOXELS)["drop"])


def test_probes_fall_to_chance_on_held_out_words_whoever_fitted_them(erased):
    probes = erased.tables["probes"]
    bound = chance_bound(6 * N_WORDS)
    for name in ("a", "b"):
        own = probes[probes.property == name]
        before = own[own.condition == "before"]
        assert (before[before.layer < 2].above_chance > 2 * bound).all()
        after = own[(own.erased == name) & (own.condition == "erased")].groupby("probe").above_chance
        assert (after.max() < bound).all()
        assert (after.min() > -bound).all()
        other = own[(own.erased == ("b" if name == "a" else "a")) & (own.condition == "erased")]
        kept = other.set_index(["probe", "layer"]).above_chance - before.set_index(["probe", "layer"]).above_chance
        assert (kept > -0.15).all()


def test_together_takes_away_both(erased):
    both = means(erased, TOGETHER, ALL_VOXELS)

    assert both.r_before > 0.45
    assert abs(both.r_after) < 0.1
    assert both.r_random > 0.3
    assert both.probe_before > 0.4
    assert abs(both.probe_after) < chance_bound(6 * N_WORDS)


def test_curves_and_tables_have_every_layer_roi_and_subject(erased):
    table = erased.tables["alignment"]

    assert len(table) == 3 * (3 + 1) * len(SUBJECTS) * 3
    np.testing.assert_allclose(table["drop"], table.r_before - table.r_after)
    assert set(erased.curves) == {
        f"{name}/{what}" for name in ("a", "b", TOGETHER) for what in ("r_after", "drop", "probe_before", "probe_after")
    }
    assert all(len(curve) == 3 for curve in erased.curves.values())
    drops = erased.curves["a/drop"]
    assert drops[0] > drops[1] > drops[2]
    across = erased.tables["across_layers"].set_index(["property", "roi"])
    assert across.loc[("a", "a"), "pearson_r"] > 0.9
    assert across.loc[("a", "a"), "mixed_slope"] > 0
    assert across.loc[("every", ALL_VOXELS), "n_points"] == 6


def test_the_table_says_whether_others_are_hurt_less_than_by_random_directions(erased):
    table = erased.tables["specificity"]

    assert (table.hurt_less_than_random == (table.after > table.random)).all()
    assert len(table) == 2 * 3 * 2


def test_features_left_as_they_are_score_as_in_the_run(planted):
    encoding = planted.given().encoding()
    found = np.zeros_like(encoding.r)
    for at in range(3):
        features = np.concatenate([planted.features[one.story][at] for one in planted.recordings.stimuli])
        for fold in range(3):
            found[at] += encoding.score(fold, [features]) / 3
    np.testing.assert_allclose(found, encoding.r, atol=1e-6)


@pytest.mark.parametrize("blocks", [False, True])
def test_words_of_training_rows_are_apart_from_those_of_held_out_rows(blocks):
    here = world(blocks=blocks, n_stories=3)
    encoding = here.given().encoding()
    n_trs = here.recordings.clocks[0].n_trs
    for fold, train, test in zip(here.folds, encoding.train_units, encoding.test_units, strict=True):
        reached = []
        for unit in range(3 * N_WORDS):
            story, at = divmod(unit, N_WORDS)
            tr = int(here.recordings.stimuli[story].midpoint_s[at] // TR_S)
            rows = {story * n_trs + tr + delay for delay in ALIGN.delays if tr + delay < n_trs}
            reached.append((bool(rows & set(fold.train)), bool(rows & set(fold.test))))
        assert train.tolist() == [unit for unit, one in enumerate(reached) if one == (True, False)]
        assert test.tolist() == [unit for unit, one in enumerate(reached) if one == (False, True)]
        assert len(train) > len(test) > 0.2 * 3 * N_WORDS


def test_labels_of_held_out_words_change_nothing_in_what_is_encoded(planted):
    """An eraser that saw them would: here the held-out labels of one fold are turned around, and the fold is encoded."""
    given = planted.given()
    encoding = given.encoding()
    held = set(encoding.test_units[0].tolist())
    stimuli, first = [], 0
    for one in given.stimuli:
        flip = np.array([[first + at in held] for at in range(N_WORDS)])
        first += N_WORDS
        turned = {name: np.where(flip, 1 - values, values) for name, values in one.annotations.items()}
        stimuli.append(dataclasses.replace(one, annotations=turned))

    def encoded(with_stimuli):
        seen = []

        def score(fold, layers):
            if fold == 0:
                seen.append(layers[0])
            return np.zeros(24)

        spy = dataclasses.replace(encoding, score=score)
        own = dataclasses.replace(given, stimuli=with_stimuli, encoding=lambda: spy, rng=np.random.default_rng(0))
        Erasure(properties=("a",), method="leace").measure(own)
        return seen

    for ours, theirs in zip(encoded(given.stimuli)[::3], encoded(tuple(stimuli))[::3], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_property_of_nothing_takes_nothing_away(planted):
    """Word length drives no voxel and is in no layer: erasing it costs no more than its controls."""
    found = means(Erasure(properties=("word_length",)).measure(planted.given()), "word_length", ALL_VOXELS)

    assert abs(found["drop"] - found.drop_random) < 0.05
    assert abs(found.probe_before) < 0.15


def test_an_encoder_that_takes_all_layers_together_is_asked_once_for_all(planted):
    encoder = Stacked(alphas=(1.0, 100.0), device="cpu")
    result = Erasure(properties=("a",)).measure(planted.given(encoder))

    table = result.tables["alignment"]
    assert table.layer.isna().all()
    assert means(result, "a", "a").r_before > 0.5
    assert abs(means(result, "a", "a").r_after) < 0.1
    assert means(result, "a", "b").r_after > 0.45
    assert result.curves == {}


def test_labels_of_neighbours_are_erased_along(planted):
    wide = Erasure(properties=("a",), neighbours=2)
    result = wide.measure(planted.given())

    assert result.tables["alignment"]["rank"].min() == 5
    assert abs(means(result, "a", "a").r_after) < 0.1


def test_the_published_ridge_leaves_what_ours_takes(planted):
    """Labels 0 and 1 without an intercept: only the words that are 1 are moved."""
    published, ours = (
        means(Erasure(properties=("a",), method="ridge", legacy=legacy).measure(planted.given()), "a", "a")
        for legacy in (True, False)
    )

    assert published.r_after > 0.15
    assert published.probe_after > 0.15
    assert abs(ours.r_after) < 0.1


def test_columns_and_surface_properties_can_be_named(planted):
    labels = Erasure(properties=("a/0", "word_rate", "word_length")).labels(planted.recordings.stimuli)

    assert [one.name for one in labels.columns] == ["a/0", "word_rate", "word_length"]
    letters = [len(word) for one in planted.recordings.stimuli for word in one.units]
    assert labels.numbers_of("word_length")[:, 0].tolist() == letters
    assert labels.numbers_of("word_rate")[5] == pytest.approx(1 / 0.4, rel=0.1)


def test_what_is_not_there_is_refused(planted):
    stimuli = planted.recordings.stimuli
    with pytest.raises(ConfigError, match=r"probe 'erasure': unknown property 'word_lenth'\. .*word_length"):
        Erasure(properties=("word_lenth",)).labels(stimuli)
    with pytest.raises(ConfigError, match="must name a column of 'a', from a/0 to a/0"):
        Erasure(properties=("a/1",)).labels(stimuli)
    flat = tuple(dataclasses.replace(one, annotations={"flat": np.ones((N_WORDS, 1))}) for one in stimuli)
    with pytest.raises(DataError, match="property 'flat' is the same for every word"):
        Erasure(properties=("flat",)).labels(flat)
    with pytest.raises(ConfigError, match="needs an encoding model"):
        Erasure().measure(planted.given(encoding=False))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"legacy": True}, "legacy is of method=ridge, got method=leace"),
        ({"controls": 0}, "controls must be at least 1, got 0"),
        ({"probe_penalty": 0.0}, "probe_penalty must be positive, got 0.0"),
        ({"properties": ()}, "properties must name at least one, such as properties=[word_length]"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ConfigError) as refused:
        Erasure(**options)
    assert words in str(refused.value)


def test_a_run_ends_with_its_tables_and_an_unknown_property_ends_it_before(composed, small_run):
    from brainexp.experiment import Experiment, run

    options = ["probe=[erasure]", "probe.erasure.together=false", "damage.measure=false", "partition.spaces=[]"]
    with pytest.raises(ConfigError, match="unknown property 'syntx'"):
        run(Experiment.from_config(composed(*small_run, *options, "probe.erasure.properties=[syntx]")))
    result = run(Experiment.from_config(composed(*small_run, *options, "probe.erasure.properties=[word_length]")))

    table = result.tables["probe_erasure_alignment"]
    scores = result.scores[(result.scores.source == "model")]
    ours = table.set_index(["subject", "roi", "layer"]).r_before.sort_index()
    theirs = scores.set_index(["subject", "roi", "layer"]).r.sort_index()
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.isfinite(result.metrics["probe/erasure/word_length/drop"])
    assert len(result.curves["probe/erasure/word_length/drop"]) == 3
