"""How much alignment is left when a property has been taken out of the features?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from brainexp.align.lexical import word_length
from brainexp.containers import FloatArray, IntArray, Stimulus
from brainexp.erase.eraser import Eraser, inlp, leace, published_residual, random_directions, ridge_residual
from brainexp.erase.labels import Labels, coded, shifts
from brainexp.erase.reading import Read, above_chance, pooled, read
from brainexp.errors import ConfigError
from brainexp.interfaces import Encoding, ProbeInput, ProbeResult
from brainexp.progress import counter
from brainexp.registry import PROBES, did_you_mean
from brainexp.score.inference import adjusted, paired_tests
from brainexp.score.mixed import crossed_slope

if TYPE_CHECKING:
    import pandas as pd

#: Properties that every story has.
SURFACE = ("word_length", "word_rate")
#: Name of all properties erased together.
TOGETHER = "together"
#: What is done to features. "before" is nothing.
BEFORE, ERASED, RANDOM, SHUFFLED = "before", "erased", "random", "shuffled"
CONTROLS = (RANDOM, SHUFFLED)
#: Probes fitted to training words, as erasers are; and to a half of a fold's held-out words, which no eraser has seen.
TRAINED, FRESH = "trained", "fresh"
#: As in scores.parquet, the row that pools all voxels of a subject.
ALL_VOXELS = "all"
TESTS = ("p_t", "p_wilcoxon", "p_sign_flip", "p_equivalence")


@PROBES.register("erasure")
@dataclass(frozen=True)
class Erasure:
    """Erase a property from the features of words, show that linear probes no longer find it, and predict the brain again.

    After Oota, Gupta & Toneva (2023, NeurIPS), but: erasers, probes and encoder are fitted on each fold's training rows and
    the words that only these draw on; words of one sentence, which share labels, are not on both sides of a split, but for
    those at a gap; accuracies are balanced; a drop is held against that of as many random directions, and of the same
    labels moved in time.

    Parameters
    ----------
    properties : "all" or tuple of str
        Names of annotations of the stimuli, or one column of them such as "syntax/7"; "word_length" and "word_rate".
    together : bool
        Also erase all of them at once.
    method : {"leace", "inlp", "ridge"}
        See `brainexp.erase.eraser`. Ridge subtracts what the labels of a word predict, held-out words included, so that it
        needs their labels; the others need features only.
    legacy : bool
        For ridge: labels as numbers, no intercept, a penalty per feature, as published.
    neighbours : int
        Labels of so many words before and after are erased along with a word's own: features know of earlier words, and
        a TR sums over several.
    controls : int
        Draws of each control; their scores are averaged.
    penalty : float
        Of the ridge residual; more than 0 leaves some of the property.
    probe_penalty : float
        Of linear probes, and of those that INLP follows, on standardised features.
    most_rounds : int
        Of INLP.
    tolerance : float
        INLP stops at a mean score of so much above chance, as a share of what lies between chance and 1, and one standard
        error.
    gap_words : int
        Words between those that INLP is fitted to and those on which it sees when to stop, and between the halves of
        held-out words for fresh probes.
    margin, confidence : float
        As ``equivalence_margin`` and ``confidence`` of scoring, for tests over subjects.
    multiplicity : {"bh", "holm", "by"}
        How p of a family of tests are adjusted.
    """

    needs_gradients: ClassVar[bool] = False

    properties: Literal["all"] | tuple[str, ...] = "all"
    together: bool = True
    method: Literal["leace", "inlp", "ridge"] = "leace"
    legacy: bool = False
    neighbours: int = 0
    controls: int = 1
    penalty: float = 0.0
    probe_penalty: float = 100.0
    most_rounds: int = 20
    tolerance: float = 0.02
    gap_words: int = 20
    margin: float = 0.01
    confidence: float = 0.95
    multiplicity: Literal["bh", "holm", "by"] = "bh"

    def __post_init__(self) -> None:
        if self.legacy and self.method != "ridge":
            raise ConfigError(f"probe 'erasure': legacy is of method=ridge, got method={self.method}")
        for name, least in (("neighbours", 0), ("controls", 1), ("penalty", 0), ("most_rounds", 1), ("gap_words", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"probe 'erasure': {name} must be at least {least}, got {getattr(self, name)}")
        if self.probe_penalty <= 0:
            raise ConfigError(f"probe 'erasure': probe_penalty must be positive, got {self.probe_penalty}")
        if not self.properties:
            raise ConfigError("probe 'erasure': properties must name at least one, such as properties=[word_length]")

    def require_ready(self) -> None:
        """Nothing but the stories is needed."""

    def labels(self, stimuli: Sequence[Stimulus]) -> Labels:
        """Return the properties of all words; raise ConfigError or DataError if one is unknown or never varies."""
        return coded({name: _values(name, stimuli) for name in self._names(stimuli)})

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Erase every property from every layer, and score probes and encoder."""
        if given.encoding is None:
            raise ConfigError("probe 'erasure' needs an encoding model, and nothing was encoded.")
        study = _Study(self, given, given.encoding())
        study.run()
        return study.result()

    def _names(self, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        return (*stimuli[0].annotations, *SURFACE) if self.properties == "all" else self.properties


@dataclass(eq=False)
class _Study:
    """What is gathered layer by layer and fold by fold."""

    options: Erasure
    given: ProbeInput
    encoding: Encoding
    labels: Labels = field(init=False)
    #: For each thing to erase its labels, with those of neighbours.
    sought: dict[str, Labels] = field(init=False)
    #: By (erased, condition): r of every group of layers, and of the chosen one.
    r: dict[tuple[str, str], FloatArray] = field(default_factory=dict)
    chosen_r: dict[tuple[str, str], FloatArray] = field(default_factory=dict)
    #: By (kind of probe, position of the layer, erased, condition): what was read in every fold, column by column.
    reads: dict[tuple[str, int, str, str], list[list[Read]]] = field(default_factory=dict)
    ranks: dict[tuple[int, str], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stimuli = self.given.stimuli
        self.labels = self.options.labels(stimuli)
        values = {name: _values(name, stimuli) for name in self.options._names(stimuli)}
        wide = {name: _with_neighbours(own, self._lengths, self.options.neighbours) for name, own in values.items()}
        self.sought = {name: coded({name: own}) for name, own in wide.items()}
        if self.options.together and len(wide) > 1:
            self.sought[TOGETHER] = coded(wide)

    @property
    def _lengths(self) -> list[int]:
        return [len(one.units) for one in self.given.stimuli]

    def run(self) -> None:
        """Go through groups of layers, folds, properties and conditions."""
        folds = range(len(self.encoding.train_units))
        with counter(len(self.encoding.groups) * len(folds) * len(self.sought), "erasing") as bar:
            for at, group in enumerate(self.encoding.groups):
                layers = {position: self._features(position) for position in group}
                for fold in folds:
                    for position, features in layers.items():
                        self._read(position, fold, features, "", BEFORE)
                    for name in self.sought:
                        bar.set_description(f"erasing {name}")
                        for condition, changed in self._changed(name, layers, self.encoding.train_units[fold]):
                            for position, features in changed.items():
                                self._read(position, fold, features, name, condition)
                            self._encode(at, fold, list(changed.values()), name, condition)
                        bar.update(1)

    def result(self) -> ProbeResult:
        """Tables, curves and metrics."""
        probes = self._probe_table()
        summary = _summary(probes)
        alignment = self._alignment_table(summary[summary.probe == TRAINED])
        chosen = alignment[alignment.layer.isna() & (alignment.roi == ALL_VOXELS)]
        metrics: dict[str, float] = {}
        for name, rows in chosen.groupby("property", sort=False):
            for column in ("drop", "drop_random", "drop_shuffled", "probe_before", "probe_after"):
                metrics[f"{name}/{column}"] = float(rows[column].mean())
        by_layer = alignment[alignment.layer.notna() & (alignment.roi == ALL_VOXELS)]
        curves: dict[str, list[float]] = {}
        for name, rows in by_layer.groupby("property", sort=False):
            means = rows.groupby("layer")[["r_after", "drop", "probe_before", "probe_after"]].mean().sort_index()
            curves |= {f"{name}/{column}": means[column].tolist() for column in means.columns}
        return ProbeResult(
            metrics=metrics,
            curves=curves if len(self.encoding.groups) > 1 else {},
            tables={
                "alignment": alignment,
                "tests": _tested(alignment, self.options, self.given.rng),
                "probes": probes,
                "specificity": _specificity(summary),
                "across_layers": _across_layers(alignment),
            },
        )

    def _features(self, position: int) -> FloatArray:
        stories = (self.given.features[one.story][position] for one in self.given.stimuli)
        return np.concatenate(list(stories)).astype(float)

    def _changed(
        self, name: str, layers: Mapping[int, FloatArray], train: IntArray
    ) -> Iterator[tuple[str, dict[int, FloatArray]]]:
        """Features of all units and layers without the property, and of both controls as often as asked."""
        options, labels, rng = self.options, self.sought[name], self.given.rng
        erasers = {position: _eraser(options, features, labels, train) for position, features in layers.items()}
        for position, eraser in erasers.items():
            self.ranks.setdefault((position, name), []).append(eraser.rank)
        yield ERASED, {at: erasers[at].erased(features, _source(options, labels)) for at, features in layers.items()}
        for _ in range(options.controls):
            moved = _moved(labels, shifts(self._lengths, rng))
            drawn, other = {}, {}
            for at, features in layers.items():
                rank = erasers[at].rank
                drawn[at] = random_directions(features[train], rank, rng, whitened=options.method != "inlp").erased(
                    features, features
                )
                eraser = _eraser(options, features, moved, train, most_rank=rank)
                other[at] = eraser.erased(features, _source(options, moved))
            yield RANDOM, drawn
            yield SHUFFLED, other

    def _read(self, position: int, fold: int, features: FloatArray, name: str, condition: str) -> None:
        train, test = self.encoding.train_units[fold], self.encoding.test_units[fold]
        middle, gap = len(test) // 2, self.options.gap_words // 2
        early, late = test[: middle - gap], test[middle + gap :]
        for kind, pairs in ((TRAINED, [(train, test)]), (FRESH, [(early, late), (late, early)])):
            for fit, held in pairs:
                found = read(features, self.labels, fit, held, self.options.probe_penalty)
                self.reads.setdefault((kind, position, name, condition), []).append(found)

    def _encode(self, at: int, fold: int, layers: list[FloatArray], name: str, condition: str) -> None:
        found = self.encoding.score(fold, layers)
        draws = 1 if condition == ERASED else self.options.controls
        share = found / (draws * len(self.encoding.train_units))
        key = (name, condition)
        self.r.setdefault(key, np.zeros_like(self.encoding.r, dtype=float))[at] += share
        # At the layer that the model's own features have chosen: another choice would hide what was lost.
        chosen = self.chosen_r.setdefault(key, np.zeros(len(found)))
        chosen += np.where(self.encoding.chosen[fold] == at, share, np.where(np.isnan(found), np.nan, 0.0))

    def _probe_table(self) -> pd.DataFrame:
        import pandas as pd

        rows = []
        for (kind, position, name, condition), folds in self.reads.items():
            for at, column in enumerate(self.labels.columns):
                score, chance = pooled([one[at] for one in folds])
                rows.append(
                    {
                        "probe": kind,
                        "layer": self.given.layer_numbers[position],
                        "erased": name or None,
                        "condition": condition,
                        "property": column.name,
                        "column": column.number,
                        "measure": "r" if column.classes is None else "balanced_accuracy",
                        "score": score,
                        "chance": chance,
                        "above_chance": above_chance(score, chance),
                    }
                )
        return pd.DataFrame(rows)

    def _r(self, name: str, condition: str, row: int) -> FloatArray:
        """R of each voxel in a group of layers, or of the chosen one where the row is -1, array of shape (n_voxels,)."""
        if condition == BEFORE:
            return self.encoding.chosen_r if row < 0 else self.encoding.r[row]
        return self.chosen_r[name, condition] if row < 0 else self.r[name, condition][row]

    def _alignment_table(self, summary: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        numbers, groups = self.given.layer_numbers, self.encoding.groups
        known = self.encoding.chosen[self.encoding.chosen >= 0]
        usual = groups[int(np.bincount(known).argmax())]
        settings = [
            *((numbers[group[0]], group, at) for at, group in enumerate(groups) if len(group) == 1),
            (None, usual, -1),
        ]
        probed = summary.set_index(["erased", "condition", "property", "layer"]).above_chance
        rows = []
        for name in self.sought:
            for layer, group, row in settings:
                at = [numbers[position] for position in group]
                own = [one for one in self.sought if one != TOGETHER] if name == TOGETHER else [name]
                probes = {
                    f"probe_{when}": float(
                        np.mean([probed[erased, condition, one, number] for one in own for number in at])
                    )
                    for when, erased, condition in (("before", "", BEFORE), ("after", name, ERASED))
                }
                rank = float(np.mean([one for position in group for one in self.ranks[position, name]]))
                for subject, roi, columns in self.encoding.regions:
                    r = {condition: _mean(self._r(name, condition, row)[columns]) for condition in (ERASED, *CONTROLS)}
                    before = _mean(self._r(name, BEFORE, row)[columns])
                    rows.append(
                        {
                            "property": name,
                            "subject": subject,
                            "roi": roi,
                            "layer": layer,
                            "r_before": before,
                            "r_after": r[ERASED],
                            "drop": before - r[ERASED],
                            "r_random": r[RANDOM],
                            "drop_random": before - r[RANDOM],
                            "r_shuffled": r[SHUFFLED],
                            "drop_shuffled": before - r[SHUFFLED],
                            **probes,
                            "rank": rank,
                        }
                    )
        return pd.DataFrame(rows).astype({"layer": "Int64"})


def _eraser(
    options: Erasure, features: FloatArray, labels: Labels, train: IntArray, most_rank: int | None = None
) -> Eraser:
    """Fit on training units; a control of INLP goes on until it has taken as many directions."""
    if options.method == "inlp":
        limits = (options.most_rounds, options.tolerance)
        return inlp(features, labels, train, options.gap_words, options.probe_penalty, *limits, most_rank=most_rank)
    source = _source(options, labels)[train]
    if options.method == "leace":
        return leace(features[train], source)
    if options.legacy:
        return published_residual(features[train], source)
    return ridge_residual(features[train], source, options.penalty)


def _source(options: Erasure, labels: Labels) -> FloatArray:
    return labels.numbers if options.legacy else labels.codes


def _moved(labels: Labels, at: IntArray) -> Labels:
    return Labels(labels.numbers[at], labels.codes[at], labels.columns)


def _values(name: str, stimuli: Sequence[Stimulus]) -> FloatArray:
    """A property of all words, array of shape (n_units, n_columns); raise ConfigError if it is unknown."""
    if name == "word_length":
        return np.concatenate([word_length(one.units) for one in stimuli])
    if name == "word_rate":
        return np.concatenate([_rate_hz(one) for one in stimuli])[:, None]
    space, _, number = name.partition("/")
    known = stimuli[0].annotations
    if space not in known:
        offered = (*known, *SURFACE)
        raise ConfigError(f"probe 'erasure': unknown property {name!r}.{did_you_mean(space, offered)}")
    table = np.concatenate([one.annotations[space] for one in stimuli])
    if not number:
        return table
    if not number.isdigit() or int(number) >= table.shape[1]:
        raise ConfigError(
            f"probe 'erasure': property {name!r} must name a column of {space!r}, from {space}/0 to "
            f"{space}/{table.shape[1] - 1}"
        )
    return table[:, [int(number)]]


def _rate_hz(stimulus: Stimulus) -> FloatArray:
    """Words per second around each word, from the middle of the word before to that of the word after."""
    if len(stimulus.units) < 2:
        return np.zeros(len(stimulus.units))
    spacing_s = np.gradient(stimulus.midpoint_s)
    return np.asarray(1 / np.maximum(spacing_s, 1e-3))


def _with_neighbours(values: FloatArray, lengths: Sequence[int], n_neighbours: int) -> FloatArray:
    """Values of each unit and, beside them, of those around it in its story; those at the edges are repeated."""
    found = []
    for story in np.split(values, np.cumsum(lengths)[:-1]):
        units = np.arange(len(story))
        around = sorted(range(-n_neighbours, n_neighbours + 1), key=abs)
        found.append(np.hstack([story[np.clip(units + shift, 0, len(story) - 1)] for shift in around]))
    return np.concatenate(found)


def _summary(probes: pd.DataFrame) -> pd.DataFrame:
    """Mean over the columns of each property."""
    keys = ["probe", "erased", "condition", "property", "layer"]
    return probes.fillna({"erased": ""}).groupby(keys, sort=False).above_chance.mean().reset_index()


def _specificity(summary: pd.DataFrame) -> pd.DataFrame:
    """What erasing one property does to probes of each, beside a random removal; means over layers, 0 is chance."""
    import pandas as pd

    means = summary.groupby(["probe", "erased", "condition", "property"], sort=False).above_chance.mean()
    erasable = [one for one in dict.fromkeys(summary.erased) if one]
    rows = []
    for kind, erased in product((TRAINED, FRESH), erasable):
        for name in dict.fromkeys(summary.property):
            before = float(means[kind, "", BEFORE, name])
            after, random, moved = (float(means[kind, erased, condition, name]) for condition in (ERASED, *CONTROLS))
            rows.append(
                {
                    "probe": kind,
                    "erased": erased,
                    "property": name,
                    "before": before,
                    "after": after,
                    "random": random,
                    "shuffled": moved,
                    "hurt_less_than_random": after > random,
                }
            )
    return pd.DataFrame(rows)


def _tested(alignment: pd.DataFrame, options: Erasure, rng: np.random.Generator) -> pd.DataFrame:
    """Compare r over subjects at the chosen layer, in every ROI: erased with before, random removal and moved labels.

    All properties in all ROIs are one family for each comparison; all properties over all voxels are another.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    chosen = alignment[alignment.layer.isna()]
    for (name, roi), own in chosen.groupby(["property", "roi"], sort=False):
        for reference in (BEFORE, *CONTROLS):
            after, other = own.r_after.to_numpy(dtype=float), own[f"r_{reference}"].to_numpy(dtype=float)
            found = paired_tests(after, other, options.margin, options.confidence, rng)
            where = "all voxels" if roi == ALL_VOXELS else "properties × ROIs"
            about = {"family": f"erased against {reference}, {where}", "property": name, "roi": roi}
            rows.append(about | {"reference": reference} | asdict(found))
    table = pd.DataFrame(rows)
    for test in TESTS:
        families = table.groupby("family", sort=False)[test]
        table[f"{test}_adjusted"] = families.transform(lambda p: adjusted(p.to_numpy(), options.multiplicity))
    return table


def _across_layers(alignment: pd.DataFrame) -> pd.DataFrame:
    """Does alignment fall most in the layers in which the probe falls most?

    As published, Pearson's r over layers of means over subjects, whose p takes layers for independent; and the slope of a
    mixed model with random intercepts of subjects and layers, and slopes of subjects. Property "every" has all properties
    in one model, with random intercepts of them.
    """
    import pandas as pd
    from scipy.stats import pearsonr

    found: list[dict[str, Any]] = []
    rows = alignment[alignment.layer.notna()]
    rows = rows.assign(probe_drop=rows.probe_before - rows.probe_after)
    for roi, of_roi in rows.groupby("roi", sort=False):
        single = of_roi[of_roi.property != TOGETHER]
        for name, own in [*of_roi.groupby("property", sort=False), ("every", single)]:
            means = own.groupby(["property", "layer"])[["probe_drop", "drop"]].mean().dropna()
            varies = len(means) > 2 and np.ptp(means.probe_drop) > 0 and np.ptp(means["drop"]) > 0
            r, p = pearsonr(means.probe_drop, means["drop"]) if varies else (np.nan, np.nan)
            factors = {key: pd.factorize(own[key])[0] for key in ("subject", "layer", "property")}
            values = own["drop"].to_numpy(dtype=float), own.probe_drop.to_numpy(dtype=float)
            mixed = {f"mixed_{key}": value for key, value in asdict(crossed_slope(*values, factors, "subject")).items()}
            about = {"property": name, "roi": roi, "n_points": len(means)}
            found.append(about | {"pearson_r": float(r), "pearson_p": float(p)} | mixed)
    return pd.DataFrame(found)


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
