"""Do probes fall as the bits of a model's weights fall?

How it is asked was written down before any compressed score was seen. All 22 sets that there were, 1,000 samples each, five
seeds of the probe. The score of a set is its mean test score at the last layer, which every compressed weight reaches. Per
model one statistic: Page's trend test with sets as blocks and none > 8 > 4 > 3 > 2 bits as ordered doses, one-sided, adjusted
by Holm over models. Its negation: random labels show no trend, and 8 bits score as none.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import page_trend_test

from brainexp.interfaces import ProbeInput
from brainexp.probe.holmes import Holmes

#: From the fewest to those of the uncompressed weights, which are kept in bfloat16.
BITS = (2, 3, 4, 8, 16)


def scores(tables, control):
    """Mean test score at the last layer, a row per set, a column per number of bits, ascending."""
    columns = {}
    for bits, table in tables.items():
        at = table[(table.control == control) & (table.split == "test") & (table.layer == table.layer.max())]
        columns[bits] = at.groupby("task").score.mean()
    return pd.DataFrame(columns)[list(BITS)]


def trend(of_sets):
    """P of Page's test that scores rise with bits."""
    return page_trend_test(of_sets.to_numpy()).pvalue


PLANTED = Holmes(
    gold_samples=300,
    tasks=("main-voice", "relative-gap", "determiner-noun", "possession", "location", "connective"),
    layers="last",
    seeds=(0,),
    code_length=False,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINEXP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def planted(strength, draws):
    """Tables by number of bits, of features that hold the labels of every set as strongly as is said, in noise of a draw."""
    labels = {}
    for load in PLANTED._chosen().values():
        one = load()
        passages = {stretch: at for at, stretch in enumerate(own[0][0] for own in one.slots)}
        labels[f"task {one.name}"] = np.array([one.labels[passages[at]] for at in range(len(passages))])

    def tables(bits):
        def read(name, passages):
            noise = np.random.default_rng([draws[bits], *name.encode()]).standard_normal((1, len(passages), 8))
            noise[0, :, 0] += strength[bits] * (2 * labels[name] - 1)
            return noise.astype(np.float32)

        given = ProbeInput((), {}, None, read, (0,), None, None, lambda _, compute: compute())
        return PLANTED.measure(given).tables["scores"]

    return {bits: tables(bits) for bits in BITS}


def test_a_planted_fall_is_found_and_random_labels_do_not_fall(cache):
    tables = planted({16: 1.0, 8: 1.0, 4: 0.8, 3: 0.5, 2: 0.1}, dict.fromkeys(BITS, 0))

    told, random = scores(tables, "none"), scores(tables, "random_labels")
    assert trend(told) < 0.001
    assert told[16].mean() > told[3].mean() > told[2].mean() + 0.1
    np.testing.assert_array_equal(told[8], told[16])
    assert trend(random) > 0.05
    assert (abs(random.mean() - 0.5) < 0.1).all()


def test_where_nothing_falls_no_fall_is_found(cache):
    told = scores(planted(dict.fromkeys(BITS, 0.6), dict(zip(BITS, BITS, strict=True))), "none")

    assert told.to_numpy().mean() > 0.6
    assert trend(told) > 0.05


def compressed_tables(composed, name, group_size):
    """Tables by number of bits, of a model of the ladder after rounding to nearest."""
    from brainexp.experiment import Experiment, probes_of

    def table(*compression):
        given = (f"model={name}", "probe=[holmes]", "probe.holmes.code_length=false", *compression)
        found = probes_of(Experiment.from_config(composed(*given)), SimpleNamespace(stimuli=()), {})["holmes"]
        return found.tables["scores"]

    rounded = ("compression=rtn", f"compression.group_size={group_size}")
    return {bits: table(*rounded, f"compression.bits={bits}") for bits in BITS[:-1]} | {16: table("compression=none")}
