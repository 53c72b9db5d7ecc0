"""Maps of a study in the brain: r of models, what compression changes, and who predicts a place best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.containers import FloatArray, Space
from brainexp.report.brain import Shades, drawable, picture
from brainexp.report.files import VOXELS
from brainexp.report.pairing import reference
from brainexp.report.spaces import FILE as SPACES
from brainexp.report.spaces import load_spaces, save_spaces
from brainexp.report.study.figures import PALETTE
from brainexp.report.sweep import compression_of, labels
from brainexp.score.winner import NO_WINNER, Winners, winners
from brainexp.settings import Scoring

#: Of a difference: nothing at zero.
DIVERGING = "RdBu_r"
#: A winner that is not shown.
NOBODY, PALE = "no clear winner", "#fff3c4"
DIFFERENCES, WINNERS_OF, MEANS = "difference", "winner", "mean"
PLACES = "places.npz"
#: What a kind of map shows.
HEADINGS = {MEANS: "r", DIFFERENCES: "r, compressed minus uncompressed", WINNERS_OF: "best r"}
#: How the maps are drawn where they share a colour scale: all but the outliers.
OUTLIERS = 99.5


@dataclass(frozen=True, eq=False)
class BrainMap:
    """One value per place.

    Parameters
    ----------
    name : str
        File name without suffix.
    group : str
        What kind of map, one of `DIFFERENCES`, `WINNERS_OF`, `MEANS`.
    title : str
    values : array of shape (n_places,)
        NaN where unknown. Of a winner map numbers of classes from 1; 0 is no clear winner.
    classes : tuple of str
        What the numbers of classes mean, from 1.
    further : mapping of str to array of shape (n_places,)
        Other values of the same places for the data file.
    """

    name: str
    group: str
    title: str
    values: FloatArray
    classes: tuple[str, ...] = ()
    further: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class BrainMaps:
    """All maps of a study, in one space.

    Parameters
    ----------
    space : Space
        Whose columns are the places of the maps.
    maps : tuple of BrainMap
    note : str
        Over whom the means are.
    """

    space: Space
    maps: tuple[BrainMap, ...]
    note: str


def brain_maps(runs: Sequence[dict[str, Any]], scoring: Scoring) -> tuple[BrainMaps | None, str]:
    """Make all maps, or say why there are none.

    Parameters
    ----------
    runs : sequence of dict
        As `brainexp.report.sweep.records` returns them.
    scoring : Scoring
        Confidence, false discovery rate and the margin that counts where subjects are too few for tests.

    Returns
    -------
    maps : BrainMaps or None
    reason : str
        Empty where there are maps.
    """
    without = [run["name"] for run in runs if not (Path(run["folder"]) / SPACES).is_file()]
    if without:
        return None, f"{len(without)} of {len(runs)} runs have no {SPACES}, which newer versions leave: run them again"
    placed, spaces = zip(*(_placed(run) for run in runs), strict=True)
    space = spaces[0]
    if space is None or space.kind == "unplaced":
        return None, "nobody knows where the voxels lie: the dataset declares no places"
    if any(other is None or not space.same_places(other) for other in spaces):
        return None, "subjects or runs lie in different spaces, so that no place is the same in all"
    if not drawable(space):
        return None, f"mesh {space.mesh!r} cannot be drawn"
    common = [who for who in placed[0] if all(who in other for other in placed)]
    if not common:
        return None, "no subject is in all runs"
    stacked = np.stack([[own[who] for who in common] for own in placed]).astype(np.float32)
    found = [*_means(runs, stacked), *_differences(runs, stacked), *_winners(runs, stacked, scoring)]
    places = replace(space, n_voxels=space.n_places, rois={}, areas={}, mapper=None, flatmap=None, pycortex=None)
    everybody = set().union(*placed) == set(common)
    who = f"{len(common)} subjects" if len(common) > 1 else f"subject {common[0]}"
    note = f"mean over {who}" + ("" if everybody else " whom all runs have") if len(common) > 1 else who
    return BrainMaps(places, tuple(found), note), ""


def _placed(run: Mapping[str, Any]) -> tuple[dict[str, FloatArray], Space | None]:
    """r of each subject at the places of the map, and the space if all subjects share its places."""
    folder = Path(run["folder"])
    spaces = load_spaces(folder / SPACES)
    with np.load(folder / VOXELS) as file:
        r, subject = file["r"], file["subject"]
    first, *others = spaces.values()
    shared = len(spaces) == 1 or all(first.same_places(other) for other in others)
    return {who: space.placed(r[subject == who]) for who, space in spaces.items()}, first if shared else None


def _means(runs: Sequence[dict[str, Any]], stacked: FloatArray) -> list[BrainMap]:
    return [
        BrainMap(f"{MEANS}_{at}", MEANS, model, _mean(stacked[at]))
        for at, (run, (model, _)) in enumerate(zip(runs, labels(list(runs)), strict=True))
        if compression_of(run) == "none"
    ]


def _differences(runs: Sequence[dict[str, Any]], stacked: FloatArray) -> list[BrainMap]:
    found = []
    for at, (run, pair) in enumerate(zip(runs, labels(list(runs)), strict=True)):
        twin = reference(at, runs)
        if (
            compression_of(run) != "none"
            and compression_of(runs[twin]) == "none"
            and labels(list(runs))[twin][0] == pair[0]
        ):
            change = _mean(stacked[at] - stacked[twin])
            found.append(BrainMap(f"{DIFFERENCES}_{at}", DIFFERENCES, " · ".join(pair), change))
    return found


def _winners(runs: Sequence[dict[str, Any]], stacked: FloatArray, scoring: Scoring) -> list[BrainMap]:
    """Among uncompressed models, and among each model's compressions."""
    named = labels(list(runs))
    whole = [at for at, run in enumerate(runs) if compression_of(run) == "none"]
    contests = [("models", whole, [named[at][0] for at in whole])]
    for model in dict.fromkeys(model for model, _ in named):
        own = [at for at, (other, _) in enumerate(named) if other == model]
        contests.append((f"compressions of {model}", own, [named[at][1] for at in own]))
    found = []
    for number, (title, members, names) in enumerate(contests):
        if len(members) > 1:
            result = winners(
                stacked[members].astype(float), scoring.confidence, scoring.fdr, scoring.equivalence_margin
            )
            found.append(winner_map(f"{WINNERS_OF}_{number}", title, result, names))
    return found


def winner_map(name: str, title: str, result: Winners, names: Sequence[str]) -> BrainMap:
    """Number winners from 1; 0 where no condition is shown to be the best, NaN where nothing is known."""
    values = np.where(result.best == NO_WINNER, np.nan, result.winner + 1.0)
    further = {
        "best": np.where(result.best == NO_WINNER, np.nan, result.best + 1.0),
        "lead": result.lead,
        "q": result.q,
    }
    return BrainMap(name, WINNERS_OF, title, values, tuple(names), further)


def shares(one: BrainMap) -> dict[str, float]:
    """Share of the known places that each class of a winner map has."""
    known = one.values[np.isfinite(one.values)]
    return {name: float((known == number).mean()) for number, name in enumerate((NOBODY, *one.classes)) if len(known)}


def shades_of(one: BrainMap, group: Sequence[BrainMap]) -> Shades:
    """Colours of a map; maps of one group share a scale, so that they can be compared."""
    if one.classes:
        return Shades(-0.5, len(one.classes) + 0.5, class_colours(len(one.classes)), (NOBODY, *one.classes))
    known = np.concatenate([other.values[np.isfinite(other.values)] for other in group])
    if one.group == DIFFERENCES:
        reach = max(0.005, float(np.percentile(np.abs(known), OUTLIERS))) if known.size else 0.005
        return Shades(-reach, reach, DIVERGING)
    return Shades(0.0, max(0.05, float(np.percentile(known, OUTLIERS))) if known.size else 0.05)


def class_colours(n_classes: int) -> Any:
    """A colour for no clear winner and one per class, as a colormap."""
    from matplotlib.colors import ListedColormap

    return ListedColormap([PALE, *(PALETTE[number % len(PALETTE)] for number in range(n_classes))])


def write_brain_maps(found: BrainMaps, data: Path, figures: Path) -> dict[str, list[str]]:
    """Write ``<name>.npz`` and ``places.npz`` as data, and draw each map.

    Parameters
    ----------
    found : BrainMaps
    data, figures : Path
        Existing folders.

    Returns
    -------
    dict of str to list of str
        Names of the figure files of each map.
    """
    save_spaces({"all": found.space}, data / PLACES)
    drawn = {}
    for one in found.maps:
        np.savez_compressed(data / f"{one.name}.npz", values=one.values, classes=np.array(one.classes), **one.further)  # type: ignore[arg-type]
        drawn[one.name] = draw_map(one, found, figures)
    return drawn


def draw_map(one: BrainMap, found: BrainMaps, figures: Path) -> list[str]:
    """Draw one map as PNG and SVG; returns the names of the files."""
    group = [other for other in found.maps if other.group == one.group]
    title = f"{HEADINGS[one.group]}: {one.title} ({found.note})"
    if one.classes:
        told = "; ".join(f"{name} {100 * share:.0f} %" for name, share in shares(one).items())
        title = f"{title}\n{told}"
    files = [figures / f"{one.name}.{suffix}" for suffix in ("png", "svg")]
    picture(one.values, found.space, title, *files, shades=shades_of(one, group))
    return [file.name for file in files]


def read_map(file: Path, name: str, group: str, title: str) -> BrainMap:
    """Read a map's data file, to draw it anew."""
    with np.load(file) as arrays:
        further = {key: arrays[key] for key in arrays.files if key not in ("values", "classes")}
        return BrainMap(name, group, title, arrays["values"], tuple(map(str, arrays["classes"])), further)


def read_places(file: Path) -> Space:
    """Read where the places of the maps are."""
    return load_spaces(file)["all"]


def _mean(values: FloatArray) -> FloatArray:
    """Mean over subjects of shape (n_places,), NaN where a subject is unknown at a place."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan).astype(float)
