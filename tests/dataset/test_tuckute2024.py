"""The sentences of Tuckute et al. (2024), as the authors' table of people and as the table of their mean."""

import numpy as np
import pytest

from brainexp.align.lexical import words_per_item
from brainexp.cli import execute
from brainexp.dataset.tuckute2024 import LONG, REGIONS, WIDE, Tuckute2024
from brainexp.errors import ConfigError, DataError
from tests.conftest import DATA
from tests.dataset.replicas import declare, sentences, tuckute2024_replica

#: Of MiniLM, layers 0 to 6, on the network's mean; an independent ridge with another split, standard error about .03.
ELSEWHERE = (0.278, 0.291, 0.324, 0.331, 0.311, 0.260, 0.191)


@pytest.fixture
def replica(tmp_path, monkeypatch):
    declare("tuckute2024", monkeypatch)
    return tuckute2024_replica(tmp_path / "data")


def test_rows_are_the_sentences_in_the_tables_order_or_a_random_one(replica):
    plain = Tuckute2024(root=str(replica), order_seed=None)
    mixed = Tuckute2024(root=str(replica))
    (told,), (shuffled,) = plain.stimuli(), mixed.stimuli()

    assert told.units == tuple(sentences(150))
    assert told.separate
    assert sorted(shuffled.units) == sorted(told.units)
    assert shuffled.units != told.units
    by_sentence = dict(zip(told.units, plain.responses("853")[0].values, strict=True))
    for unit, row in zip(shuffled.units, mixed.responses("853")[0].values, strict=True):
        np.testing.assert_array_equal(by_sentence[unit], row)


def test_raw_responses_and_regions_are_options(replica):
    z, raw = (Tuckute2024(root=str(replica), normalised=one).responses("848")[0].values for one in (True, False))
    (one,) = Tuckute2024(root=str(replica), regions=(REGIONS[5], REGIONS[1])).responses("848")

    np.testing.assert_allclose(raw, 3 * z, atol=1e-5)
    np.testing.assert_array_equal(one.values, z[:, [5, 1]])


def test_a_response_that_is_not_there_stays_nan(replica):
    path = replica / LONG
    path.write_text(path.read_text().replace("\n848,B.1,lang_LH_IFG,", "\n999,B.1,lang_LH_IFG,"))

    values = Tuckute2024(root=str(replica), order_seed=None).responses("848")[0].values

    assert np.argwhere(np.isnan(values)).tolist() == [[0, 1]]


def test_the_table_of_the_mean_is_taken_where_it_is_alone(tmp_path, monkeypatch):
    declare("tuckute2024", monkeypatch)
    rng = np.random.default_rng(0)
    rows = [f"B.{at},{one},{','.join(map(str, rng.standard_normal(6)))}" for at, one in enumerate(sentences(150), 1)]
    (tmp_path / WIDE).write_text("\n".join([f"item_id,sentence,{','.join(REGIONS)}", *rows]))
    mean = Tuckute2024(root=str(tmp_path))

    assert mean.chosen_subjects() == mean.facts().subjects == ("mean",)
    assert mean.responses("mean")[0].values.shape == (150, 6)
    with pytest.raises(ConfigError, match="unknown subject '848' of tuckute2024"):
        Tuckute2024(root=str(tmp_path), subjects="848").chosen_subjects()
    with pytest.raises(ConfigError, match="normalised=false, but .* has normalised responses only"):
        Tuckute2024(root=str(tmp_path), normalised=False).stimuli()
    (tmp_path / WIDE).write_text("\n".join([f"item_id,sentence,{','.join(REGIONS)}", *rows[:100]]))
    with pytest.raises(DataError, match="has 100 sentences, but 150 are declared: it is truncated"):
        Tuckute2024(root=str(tmp_path)).stimuli()


def test_people_s_regions_correspond_so_that_one_ceiling_is_that_of_the_others(replica, composed, tmp_path):
    words = [
        "dataset=tuckute2024", f"dataset.root={replica}", "model=tiny_xs", "partition.spaces=[]", "split.folds=3",
        "encoder.alphas=[1,100,10000]", "scoring.permutations=50", "ceiling.method=inter_subject", "ceiling.bootstraps=0",
        "baselines=[]", "damage.measure=false", "report.figures=false", "tracking.uri=null",
    ]  # fmt: skip

    result = execute(composed(*words), tmp_path / "run")

    responds = np.tile(np.arange(6) < 3, 2)
    assert result.per_voxel["ceiling"][responds].mean() == pytest.approx(
        0.6, abs=0.15
    )  # the share that people have in common
    assert abs(result.per_voxel["ceiling"][~responds].mean()) < 0.2


def test_people_are_named_by_their_numbers(replica):
    assert Tuckute2024(root=str(replica), subjects=848).chosen_subjects() == ("848",)
    assert Tuckute2024(root=str(replica)).chosen_subjects() == ("848", "853")
    with pytest.raises(ConfigError, match="unknown subject '797'"):
        Tuckute2024(root=str(replica), subjects="797").chosen_subjects()


@pytest.mark.data
def test_the_real_table_has_1000_sentences_of_six_words():
    (stimulus,) = Tuckute2024(root=str(DATA / "tuckute2024_sentences"), order_seed=None).stimuli()

    assert len(stimulus.units) == 1000
    assert stimulus.units[0] == "Taste that fowl and those fish."
    assert set(words_per_item(stimulus.units)[:, 0]) == {6}  # a dash that stands alone is no word


@pytest.mark.data
@pytest.mark.slow
def test_a_real_model_predicts_the_network_as_it_does_elsewhere(composed, tmp_path):
    words = [
        "dataset=tuckute2024", f"dataset.root={DATA / 'tuckute2024_sentences'}", "dataset.regions=lang_LH_netw",
        "model=minilm", "partition.spaces=[]", "ceiling.bootstraps=0", "scoring.permutations=200", "damage.measure=false",
        "baselines=[untrained,word_length]", "report.figures=false", "tracking.uri=null",
    ]  # fmt: skip

    result = execute(composed(*words), tmp_path / "run")

    found = np.array(result.curves["layer/lang_LH_netw/r"])
    assert np.abs(found - ELSEWHERE).max() < 0.06  # two standard errors
    assert np.abs(found - ELSEWHERE).mean() < 0.03
    assert 0.13 < result.per_voxel["baseline_untrained_r"].mean() < 0.25  # elsewhere .189
    assert 0.15 < result.per_voxel["baseline_word_length_r"].mean() < 0.27  # elsewhere .217
    assert found.max() > result.per_voxel["baseline_untrained_r"].mean() + 0.06
