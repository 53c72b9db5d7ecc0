"""A run with a compression: what it reads, compares and refuses."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

from brainexp.compression.layer_drop import LayerDrop
from brainexp.compression.low_rank import LowRank
from brainexp.compression.magnitude import Magnitude
from brainexp.compression.none import NoCompression
from brainexp.compression.recipe import Recipe
from brainexp.compression.rtn import RoundToNearest
from brainexp.dataset.passage import Passage
from brainexp.errors import ConfigError
from brainexp.experiment import Experiment, compressed_as, features_of, require_possible, run
from brainexp.model.loaded import LoadedTransformer
from brainexp.model.transformer import Transformer
from brainexp.preflight import COMPRESSED, Resources, estimated, require_fits
from brainexp.probe.word_length import WordLength
from brainexp.prompt.task import Task
from brainexp.registry import CALIBRATIONS
from brainexp.settings import Damage
from tests.compressed.members import Dropping, Frozen, Pruning, Rounding


@pytest.fixture
def experiment(composed, small_run, checkpoints, members, tmp_path):
    options = [
        f"model.path={checkpoints['llama']}",
        "baselines=[untrained]",
        "partition.spaces=[]",
        f"cache.dir={tmp_path}",
    ]
    return Experiment.from_config(composed(*small_run, *options))


def compressed(experiment, method):
    return dataclasses.replace(experiment, compression=method)


def test_one_untrained_twin_serves_a_sweep_and_the_compressed_model_scores_otherwise(experiment, monkeypatch):
    full = run(experiment)
    load = Transformer.load
    loaded = []
    monkeypatch.setattr(Transformer, "load", lambda self: loaded.append(self.weights) or load(self))

    pruned = run(compressed(experiment, Pruning(sparsity=0.75)))

    assert set(loaded) == {"pretrained"}
    assert pruned.metrics["baseline/untrained/r"] == full.metrics["baseline/untrained/r"]
    assert pruned.metrics["alignment/r"] != full.metrics["alignment/r"]
    assert pruned.metrics["compression/weight_change"] > 0.2
    assert pruned.metrics["compression/reload_error"] == 0
    assert pruned.metrics["compression/blocks_dropped"] == 0
    assert not {"compression/weight_change", "compression/blocks_dropped"} & full.metrics.keys()
    assert all(isinstance(value, float) for value in pruned.metrics.values())
    assert not any("computed with" in remark for remark in (*pruned.remarks, *full.remarks))


def test_dropped_blocks_have_no_layer_and_the_twin_keeps_its_own(experiment):
    result = run(compressed(experiment, Dropping()))

    assert result.layers == (0, 1)
    assert result.metrics["compression/blocks_dropped"] == 1
    assert set(result.scores[result.scores.source == "untrained"].layer.dropna()) == {0, 1, 2}
    assert set(result.scores[result.scores.source == "model"].layer.dropna()) == {0, 1}


def test_a_path_that_is_not_dense_is_a_remark_of_this_run_and_of_those_that_find_its_features(experiment, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(
            LoadedTransformer, "arithmetic", "weights dequantized when read, dense matrix products in float32 on cpu"
        )
        first = run(experiment)
    second = run(experiment)

    words = "Features were computed with weights dequantized when read, dense matrix products in float32 on cpu."
    assert words in first.remarks
    assert words in second.remarks


def test_layers_that_are_not_left_are_refused_before_work_starts(experiment, monkeypatch):
    monkeypatch.setattr(Transformer, "load", lambda _: pytest.fail("work had started"))
    deep = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, layers=(0, 2)))

    require_possible(deep)
    with pytest.raises(ConfigError, match=r"model.layers=\[0, 2\], but compression 'test_dropping' leaves 1 blocks"):
        require_possible(compressed(deep, Dropping()))


class Steep(WordLength):
    """Needs gradients."""

    needs_gradients: ClassVar[bool] = True


def test_a_probe_that_needs_gradients_is_refused_where_none_flow(experiment):
    steep = dataclasses.replace(experiment, probes={"steep": Steep()})

    require_possible(compressed(steep, Pruning()))
    with pytest.raises(ConfigError, match="probe 'steep' needs gradients, but none flow .* compression 'test_frozen'"):
        require_possible(compressed(steep, Frozen()))
    require_possible(compressed(experiment, Frozen()))


@dataclasses.dataclass(frozen=True)
class StudyText:
    """Reads stories of the study."""

    which: tuple[str, ...] = ()
    samples: int = 4
    tokens: int = 8
    seed: int = 0

    def stories(self):
        return self.which

    def texts(self, stimuli):
        return tuple(" ".join(one.units) for one in stimuli if one.story in self.which)


def test_calibration_on_a_tested_story_is_refused_before_anything_is_loaded(experiment, monkeypatch):
    monkeypatch.setitem(CALIBRATIONS._members, "test_study", StudyText)
    monkeypatch.setattr(Passage, "stimuli", lambda _: pytest.fail("stories were read"))
    second = experiment.dataset.facts().stories[1]

    with pytest.raises(
        ConfigError,
        match=rf"compression.calibration reads {second}, held out in some fold, as every story is.*calibration=grammar",
    ):
        require_possible(compressed(experiment, Rounding(calibration=StudyText((second,)))))
    require_possible(compressed(experiment, Rounding(calibration=StudyText(("another",)))))
    require_possible(compressed(experiment, Rounding(calibration=StudyText())))


def test_answers_come_from_the_compressed_checkpoint(experiment, story):
    model = Transformer(path="package:brainexp/model/tiny/xs", dtype="bfloat16", device="cpu", context_words=4)
    prompt = Task("Say: ", features="generated", max_new_tokens=2)
    asked = dataclasses.replace(experiment, model=model, prompt=prompt)

    full, _ = features_of(asked, model, (story,))
    one, _ = features_of(compressed(asked, Pruning(sparsity=0.5)), model, (story,))
    (folder,) = (folder.parent for folder in experiment.cache_dir.rglob("checkpoints/*/*/config.json"))
    exported = dataclasses.replace(asked, model=model.at(folder), compression=NoCompression())
    same, _ = features_of(exported, exported.model, (story,))

    np.testing.assert_array_equal(np.asarray(one["tea"]), np.asarray(same["tea"]))
    assert np.abs(np.asarray(full["tea"]) - np.asarray(one["tea"])).max() > 0.05


def test_the_estimate_counts_weights_while_compressing_checkpoint_and_calibration(experiment, tmp_path, monkeypatch):
    monkeypatch.setitem(CALIBRATIONS._members, "test_study", StudyText)
    plain = estimated(experiment)
    rounded = estimated(compressed(experiment, Rounding(calibration=StudyText(samples=128, tokens=2048))))
    dropped = estimated(compressed(experiment, Dropping()))

    assert plain.disk[COMPRESSED] == 0
    assert rounded.disk[COMPRESSED] == pytest.approx(experiment.model.size().n_bytes)
    assert rounded.seconds(1e9) > plain.seconds(1e9)
    assert rounded.memory_bytes >= plain.memory_bytes
    assert dropped.disk["features in the cache"] < plain.disk["features in the cache"]
    # A checkpoint may be in the cache already: only the cache can tell, before it is made.
    require_fits(dataclasses.replace(plain, disk={COMPRESSED: 1e18}), Resources(memory_gb=1e6), tmp_path)


def of_ranks(energy):
    """Bits of both thin matrices of each linear layer of tiny_xs, from its singular values; whole where they save nothing."""
    network = Transformer(path=XS, dtype="bfloat16", device="cpu").network_with_head()
    total = 0
    for name, layer in network.named_modules():
        if name.endswith("_proj"):
            (n_outputs, n_inputs), values = layer.weight.shape, layer.weight.detach().float().numpy()
            kept = np.linalg.svd(values, compute_uv=False).astype(float) ** 2
            rank = 1 + int(np.flatnonzero(np.cumsum(kept) >= energy * kept.sum())[0])
            total += 16 * min(rank * (n_outputs + n_inputs), n_outputs * n_inputs)
    return total


XS = "package:brainexp/model/tiny/xs"
#: Weights of linear layers in each block of tiny_xs, and the others, without the head.
BLOCK, OTHERS = 4 * 32 * 32 + 3 * 32 * 96, 1024 * 32 + 5 * 32


@pytest.mark.parametrize(
    ("method", "linear_bits"),
    [
        (LayerDrop(by="last"), lambda: 16 * BLOCK),
        (Recipe((LayerDrop(by="last"), Magnitude(), RoundToNearest(4, 32))), lambda: (4.5 / 2 + 1) * BLOCK),
        (LowRank(rank=8, energy=None), lambda: 2 * 16 * (4 * 8 * (32 + 32) + 3 * 8 * (32 + 96))),
        (LowRank(energy=0.7), lambda: of_ranks(0.7)),
    ],
    ids=["layer_drop", "recipe", "rank", "energy"],
)
def test_bits_per_weight_of_a_run_are_those_counted_by_hand(experiment, method, linear_bits):
    model = dataclasses.replace(experiment.model, path=XS, dtype="bfloat16")
    lean = dataclasses.replace(experiment, model=model, baselines=(), damage=Damage(measure=False))

    metrics = run(compressed(lean, method)).metrics

    bits = linear_bits()
    assert metrics["compression/bits_per_linear_weight"] == pytest.approx(bits / (2 * BLOCK))
    assert metrics["compression/bits_per_weight"] == pytest.approx((bits + 16 * OTHERS) / (2 * BLOCK + OTHERS))


def test_what_a_compression_says_beforehand_is_logged_and_a_remark(experiment, caplog, monkeypatch):
    monkeypatch.setattr(Pruning, "remarks", lambda *_: ("it is as it is",))
    with caplog.at_level("INFO"):
        result = run(compressed(experiment, Pruning()))

    assert "it is as it is" in result.remarks
    assert [one.message for one in caplog.records].index("it is as it is") < 3
    assert result.compression == "test_pruning"


def test_a_checkpoint_that_was_quantized_already_is_recorded_so(experiment, monkeypatch):
    whole = Transformer.blueprint
    monkeypatch.setattr(
        Transformer, "blueprint", lambda self: dataclasses.replace(whole(self), quantized="gptq w4 g128")
    )

    assert compressed_as(compressed(experiment, NoCompression())) == "none (checkpoint is gptq w4 g128)"
