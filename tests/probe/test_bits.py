"""Do probes fall as the bits of a model's weights fall?

Written down before any compressed score was seen: all 22 sets that there were, 1,000 samples each, five seeds of the probe, rtn
(and gptq, awq) at 8, 4, 3 and 2 bits; the score of a set is its mean test score at the last layer, which every compressed weight
reaches; per model one statistic, Page's trend test with sets as blocks and none > 8 > 4 > 3 > 2 bits as doses. Its negation:
random labels show no trend, and 8 bits score as none.

What came of it: linear probes, which are trained anew for each compressed model, do not fall by more than .03, and Page's test
is too liberal: 8 bits and none nearly share their errors, so that random labels had p = .0002 in `tiny_m`. Therefore a set's
slope over doses is one number here, and sets are tested by it. gptq and awq were measured for xs only, l not at all.

What falls is what the model does: its minimal pairs of the same grammar, asked for the same models and bits after that.
"""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_1samp

from brainexp.grammar import PROBES
from brainexp.grammar.draws import Draws
from brainexp.grammar.probe import Lottery
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
    """P that scores do not rise with bits: one-sided t test over the slope of each set, doses counted evenly."""
    doses = np.arange(len(BITS)) - (len(BITS) - 1) / 2
    return ttest_1samp(of_sets.to_numpy() @ doses, 0, alternative="greater").pvalue


def fall(of_sets, bits):
    """Ends of the 95 % interval of what is lost, over sets."""
    lost = of_sets[16] - of_sets[bits]
    reach = t.ppf(0.975, len(lost) - 1) * lost.std() / np.sqrt(len(lost))
    return lost.mean() - reach, lost.mean() + reach


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


LADDER = [("tiny_xs", 32), ("tiny_s", 64), ("tiny_m", 128)]


def compressed_tables(composed, probe, name, group_size, *options, bits=BITS[:-1]):
    """Tables by number of bits, of a model of the ladder rounded to nearest."""
    from brainexp.experiment import Experiment, probes_of

    def table(*compression):
        experiment = Experiment.from_config(composed(f"model={name}", f"probe=[{probe}]", *options, *compression))
        (found,) = probes_of(experiment, SimpleNamespace(stimuli=()), {})[probe].tables.values()
        return found

    rounded = ("compression=rtn", f"compression.group_size={group_size}")
    return {number: table(*rounded, f"compression.bits={number}") for number in bits} | {16: table("compression=none")}


def write_pairs(folder, names, n_pairs):
    """Right and wrong sentences of the same draws, those of the ladder's card, as files of minimal pairs."""
    folder.mkdir()
    for one in PROBES:
        if one.name not in names:
            continue
        rows = []
        for number in range(n_pairs):
            right, wrong = (
                one.draw(Lottery(Draws(np.random.default_rng([11, number])), "test"), label).inputs[0]
                for label in (1, 0)
            )
            rows.append(json.dumps({"sentence_good": right, "sentence_bad": wrong}))
        (folder / f"{one.name}.jsonl").write_text("\n".join(rows))


def accuracies(tables):
    """A row per set, a column per number of bits, ascending."""
    return pd.DataFrame({bits: tables[bits].set_index("paradigm").accuracy for bits in sorted(tables)})


N_PAIRS = 500
PAIRED = (
    *("agreement-distractor", "determiner-noun", "reflexive-agreement", "irregular-forms", "selectional-restriction"),
    *("connective", "possession", "transitivity", "antonym-negation", "location"),
)


def test_two_bits_cost_minimal_pairs_and_eight_do_not(cache, composed, tmp_path):
    write_pairs(tmp_path / "pairs", ("agreement-distractor", "irregular-forms", "selectional-restriction"), 150)
    folder = f"probe.minimal_pairs.folder={tmp_path / 'pairs'}"

    right = accuracies(compressed_tables(composed, "minimal_pairs", "tiny_m", 128, folder, bits=(2, 8)))

    assert (right[16] > 0.8).all()
    assert (right[2] < right[16]).all()
    assert right[2].mean() < right[16].mean() - 0.1
    assert (abs(right[8] - right[16]) < 0.02).all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "group_size"), LADDER)
def test_minimal_pairs_fall_as_bits_fall(cache, composed, tmp_path, name, group_size):
    """Over sets that the whole model knows, for others have nothing to lose: over all ten p is .03 (xs), .04 (s), .07 (m)."""
    write_pairs(tmp_path / "pairs", PAIRED, N_PAIRS)
    folder = f"probe.minimal_pairs.folder={tmp_path / 'pairs'}"

    right = accuracies(compressed_tables(composed, "minimal_pairs", name, group_size, folder))

    known = right[right[16] > 0.5 + 2 * 0.5 / np.sqrt(N_PAIRS)]
    print(known.mean(), trend(known), fall(known, 2))
    assert len(known) >= 4
    assert trend(known) < 0.05
    assert fall(known, 2)[0] > 0
    assert np.abs(fall(right, 8)).max() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("name", "group_size"), LADDER)
def test_what_retrained_linear_probes_find_hardly_depends_on_bits(cache, composed, name, group_size):
    tables = compressed_tables(composed, "holmes", name, group_size, "probe.holmes.code_length=false")

    told, random = scores(tables, "none"), scores(tables, "random_labels")
    print({bits: (told[bits].mean(), fall(told, bits)) for bits in BITS[:-1]})
    assert np.abs(fall(told, 8)).max() < 0.005
    assert all(np.abs(fall(told, bits)).max() < 0.03 for bits in BITS[:-1])
    assert all(told[bits].mean() > random[bits].mean() + 0.05 for bits in BITS)
    assert np.abs(fall(random, 8)).max() < 0.005
