"""ROIs by name, as an option of datasets: which columns belong to which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from brainexp.containers import FloatArray, IntArray, Space
from brainexp.dataset.label_files import is_background, named_labels, right_of, vertex_labels, voxel_labels, voxel_mask
from brainexp.dataset.roi_sets import ROI_SETS, RoiSet
from brainexp.errors import ConfigError, DataError
from brainexp.registry import did_you_mean

#: How many names a message lists.
MANY = 8


@dataclass(frozen=True)
class Rois:
    """Which ROIs are summarised, beside all voxels.

    On a surface that is coarser than the labels, their first vertices are taken, which are the same places. Where columns are
    voxels that a mapper brings to a mesh, a column belongs to an ROI if more than half of its weight on the mesh lies there.

    Parameters
    ----------
    set : str or None
        A name of `brainexp.dataset.roi_sets.ROI_SETS`; None for the dataset's own ROIs.
    labels : str, (str, ...) or None
        Label file: ``.gii`` or ``.annot`` of the left hemisphere, with the right one's beside it, or both; a NIfTI volume;
        for ``set="masks"`` any number of NIfTI masks. ``{subject}`` stands for the subject. None where columns are parcels
        with names.
    names : str or None
        Names of the labels of a volume: a table whose rows begin with number and name.
    hemisphere : {"both", "left", "right"}
        Which areas count; hemispheres are pooled.
    weights : {"columns", "areas"}
        In the mean of an ROI each column counts alike, or each area, as in the published mean of means of areas, where one of
        30 vertices weighs as much as one of 600.
    """

    set: str | None = None
    labels: str | tuple[str, ...] | None = None
    names: str | None = None
    hemisphere: Literal["both", "left", "right"] = "both"
    weights: Literal["columns", "areas"] = "columns"

    def __post_init__(self) -> None:
        if self.set is not None and self.set not in ROI_SETS:
            raise ConfigError(f"rois: unknown set {self.set!r}.{did_you_mean(self.set, ROI_SETS)}")
        if self.set is None and (self.labels is not None or self.names is not None):
            raise ConfigError(f"rois: labels and names need a set. Known: {', '.join(sorted(ROI_SETS))}.")

    def of(self, space: Space, subject: str = "") -> Space:
        """Give a space the ROIs of the set.

        Parameters
        ----------
        space : Space
            Of a subject's columns.
        subject : str
            Stands in for ``{subject}`` in paths.

        Returns
        -------
        Space
            With these ROIs instead of its own, and a note of those that lie outside; unchanged if there is no set.

        Raises
        ------
        ConfigError
            If files are not named, or of the wrong kind for the space.
        DataError
            If a file is missing or damaged, lacks areas of the set, or no area lies where columns are.
        """
        if self.set is None:
            return space
        if space.kind == "unplaced":
            raise ConfigError(
                f"rois: nobody knows where the columns of {subject or 'the data'} lie, so {self.set!r} cannot be found. "
                f"{space.note} Leave out rois.set, or fetch that."
            )
        chosen = ROI_SETS[self.set]
        places = self._hemisphere(space, self._areas(chosen, space, subject))
        groups = {area: (area,) for area in places} if chosen.groups is None else chosen.groups
        missing = sorted({area for areas in groups.values() for area in areas} - places.keys())
        if missing:
            unnamed = " Labels have names by rois.names=FILE." if space.kind == "volume" and self.names is None else ""
            raise DataError(
                f"rois: {self._named(subject)} lacks {_listed(missing)} of the set {self.set!r}; it has "
                f"{_listed(sorted(places))}.{unnamed} {chosen.how_to_get}"
            )
        columns = {roi: _columns(space, [places[area] for area in areas]) for roi, areas in groups.items()}
        found = {roi: [area for area in areas if area.size] for roi, areas in columns.items()}
        outside = [roi for roi, areas in found.items() if not areas]
        if len(outside) == len(found):
            raise DataError(
                f"rois: no area of {self._named(subject)} lies where the data have columns. Are both in the same space?"
            )
        found = {roi: areas for roi, areas in found.items() if areas}
        told = f"Outside of the data: {_listed(outside)}." if outside else ""
        return replace(
            space,
            rois={roi: np.sort(np.concatenate(areas)) for roi, areas in found.items()},
            areas={roi: tuple(areas) for roi, areas in found.items() if len(areas) > 1 and self.weights == "areas"},
            note=" ".join(filter(None, (space.note, told))),
        )

    def _areas(self, chosen: RoiSet, space: Space, subject: str) -> dict[str, IntArray]:
        """Places of each area, by name."""
        if self.labels is None:
            if space.kind != "rois" or self.set == "masks":
                raise ConfigError(
                    f"rois: set {self.set!r} needs label files. {chosen.how_to_get} Give rois.labels=FILE."
                )
            return _by_area(chosen, [(np.arange(space.n_voxels), space.rois)])
        if space.kind == "rois":
            raise ConfigError(
                f"rois: columns are ROIs already ({_listed(list(space.rois))}), so label files do not apply. Leave out "
                "rois.labels."
            )
        paths = self._paths(subject)
        if space.kind == "surface":
            return _by_area(chosen, _on_surface(paths, space, chosen))
        if chosen.template and space.frame == "native":
            raise ConfigError(
                f"rois: set {self.set!r} comes in MNI space, but these volumes are in each subject's own. Give masks or "
                "labels in that space: rois.set=masks rois.labels=[PATH_WITH_{subject}]."
            )
        if self.set == "masks":
            if len({_stem(path) for path in paths}) < len(paths):
                raise ConfigError(
                    f"rois: masks are called by their file names, which must differ, got {self._named(subject)}."
                )
            return {_stem(path): voxel_mask(path, space, chosen.how_to_get) for path in paths}
        if len(paths) != 1:
            raise ConfigError(
                f"rois: set {self.set!r} takes one volume, got {len(paths)} files. For masks give set=masks."
            )
        labels, known = voxel_labels(paths[0], space, chosen.how_to_get)
        names = {int(label): str(label) for label in known}
        if self.names is not None:
            named = named_labels(Path(self.names).expanduser(), chosen.how_to_get)
            names |= {label: name for label, name in named.items() if label != 0}
        return _by_area(chosen, [(np.arange(len(labels)), _where(labels, names))])

    def _paths(self, subject: str) -> list[Path]:
        given = (self.labels,) if isinstance(self.labels, str) else self.labels or ()
        return [Path(path.replace("{subject}", subject)).expanduser() for path in given]

    def _named(self, subject: str) -> str:
        return _listed([path.name for path in self._paths(subject)]) or "the dataset"

    def _hemisphere(self, space: Space, areas: dict[str, IntArray]) -> dict[str, IntArray]:
        if self.hemisphere == "both":
            return areas
        left = np.arange(space.n_places) < space.n_places / 2 if space.kind == "surface" else _x_mm(space) < 0
        kept = left if self.hemisphere == "left" else ~left
        return {area: places[kept[places]] for area, places in areas.items()}


def _on_surface(paths: list[Path], space: Space, chosen: RoiSet) -> list[tuple[IntArray, dict[str, IntArray]]]:
    """Places of the labels, by name, of each hemisphere."""
    if any(path.name.endswith((".nii", ".nii.gz")) for path in paths):
        raise ConfigError(
            f"rois: the data lie on {space.mesh}, but {paths[0].name} is a volume. Give .label.gii or .annot files. "
            f"{chosen.how_to_get}"
        )
    both = [paths[0], right_of(paths[0])] if len(paths) == 1 else paths
    if len(both) != 2:
        raise ConfigError(f"rois: a surface takes two label files, left and right, got {len(both)}.")
    half = space.n_places // 2
    found = []
    for number, path in enumerate(both):
        labels, names = vertex_labels(path, str(space.mesh), half, chosen.how_to_get)
        found.append((np.arange(number * half, (number + 1) * half), _where(labels, names)))
    return found


def _where(labels: IntArray, names: Mapping[int, str]) -> dict[str, IntArray]:
    return {name: np.flatnonzero(labels == label) for label, name in names.items()}


def _by_area(chosen: RoiSet, labelled: Sequence[tuple[IntArray, Mapping[str, IntArray]]]) -> dict[str, IntArray]:
    """Pool the labels of all hemispheres by the area that they name."""
    areas: dict[str, list[IntArray]] = {}
    for places, by_name in labelled:
        for name, at in by_name.items():
            matched = re.fullmatch(chosen.area, name)
            if matched is not None and not is_background(name):
                areas.setdefault(matched[1], []).append(places[at])
    return {area: np.concatenate(parts) for area, parts in areas.items()}


def _columns(space: Space, areas: list[IntArray]) -> list[IntArray]:
    """Columns of each area of an ROI, arrays that may be empty.

    Behind a mapper a column belongs to the ROI that holds more than half of its weight, and there to the area with most.
    """
    if space.mapper is None:
        return areas
    total = np.asarray(space.mapper.sum(axis=0)).ravel()
    share = np.stack([np.asarray(space.mapper[at].sum(axis=0)).ravel() for at in areas])
    inside = share.sum(axis=0) > total / 2
    most = share.argmax(axis=0)
    return [np.flatnonzero(inside & (most == number)) for number in range(len(areas))]


def _x_mm(space: Space) -> FloatArray:
    if space.kind == "rois":
        assert space.coordinates_mm is not None  # checked by Space
        return space.coordinates_mm[:, 0]
    assert space.mask is not None  # checked by Space
    assert space.affine is not None
    return np.asarray(np.argwhere(space.mask) @ space.affine[0, :3] + space.affine[0, 3])


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(names[:MANY]) + more
