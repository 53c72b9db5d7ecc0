"""Maps of r in the brain: files for other software, a picture, and a page to turn around."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.containers import FloatArray, Space
from brainexp.errors import ConfigError
from brainexp.report.figures import DOTS_PER_INCH
from brainexp.result import Result

#: Reads well on the white background, where voxels that were not predicted are left out.
COLOURS = "viridis"


def write_maps(result: Result, maps: Path, figures: Path) -> None:
    """Write each subject's map of r and, where subjects share a space, their mean.

    Parameters
    ----------
    result : Result
        What was found.
    maps : Path
        Folder for NIfTI or GIfTI files; a space of ROIs has none, and columns whose places nobody knows have no map at all.
    figures : Path
        Folder for ``brain.png`` and ``brain.html``, of the mean or of the first subject.
    """
    voxels, r = result.voxels, result.per_voxel["r"]
    by_subject = {subject: r[voxels.owner == number] for number, subject in enumerate(voxels.subjects)}
    first, *others = voxels.subjects
    space = voxels.spaces[first]
    if space.kind == "unplaced":
        return
    shared = all(alike(space, voxels.spaces[other]) for other in others)
    if space.kind != "rois":
        maps.mkdir(parents=True)
        for subject, values in by_subject.items():
            write_map(values, voxels.spaces[subject], maps, f"{subject}_r")
        if shared and others:
            write_map(_mean(list(by_subject.values())), space, maps, "mean_r")
    shown = _mean(list(by_subject.values())) if shared else by_subject[first]
    who = f"mean of {len(voxels.subjects)} subjects" if shared and others else f"subject {first}"
    picture(shown, space, f"r, {who}. {space.note}", figures / "brain.png")
    page(shown, space, f"r, {who}", figures / "brain.html")


def alike(one: Space, other: Space) -> bool:
    """Whether two subjects' columns mean the same places."""
    if one.kind != other.kind or one.n_voxels != other.n_voxels or one.mesh != other.mesh:
        return False
    return np.array_equal(one.mask, other.mask) and np.array_equal(one.affine, other.affine)  # type: ignore[arg-type]


def write_map(values: FloatArray, space: Space, folder: Path, name: str) -> None:
    """Write one map as NIfTI (volume) or as one GIfTI per hemisphere (surface).

    Parameters
    ----------
    values : array of shape (n_voxels,)
        NaN where a voxel was not scored.
    space : Space
        Where the columns lie.
    folder : Path
        An existing folder.
    name : str
        File name without suffix.
    """
    if space.kind == "volume":
        _image(values, space).to_filename(folder / f"{name}.nii.gz")
    else:
        _surface_image(values, space).data.to_filename(folder / f"{name}.gii")


@contextmanager
def _without_idle_warnings() -> Iterator[None]:
    """Silence what means nothing to the reader: masked arrays inside nilearn, and that its figures open no window."""
    with warnings.catch_warnings():
        for words in (".*'partition' will ignore the 'mask'", ".*'agg' matplotlib backend that is non-interactive"):
            warnings.filterwarnings("ignore", message=words, category=UserWarning)
        yield


@_without_idle_warnings()
def picture(values: FloatArray, space: Space, title: str, path: Path) -> None:
    """Draw a map as a static figure; arguments as for `write_map`."""
    import matplotlib

    matplotlib.use("agg", force=False)
    from matplotlib import pyplot

    figure = _figure(values, space, _top(values))
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    pyplot.close(figure)


def _figure(values: FloatArray, space: Space, top: float) -> Any:
    from matplotlib import pyplot
    from nilearn import plotting

    if space.kind == "surface":
        return _surface_figure(values, space, top)
    figure = pyplot.figure(figsize=(10, 3.6))
    if space.kind == "volume":
        shades: dict[str, Any] = {"vmin": 0.0, "vmax": top, "cmap": COLOURS, "colorbar": True, "plot_abs": False}
        image = _image(np.nan_to_num(values), space)
        plotting.plot_glass_brain(image, display_mode="lyrz", figure=figure, threshold=1e-6, **shades)
    else:
        shades = {"node_vmin": 0.0, "node_vmax": top, "node_cmap": COLOURS, "node_size": 120, "alpha": 1.0}
        plotting.plot_markers(np.nan_to_num(values), space.coordinates_mm, display_mode="lyrz", figure=figure, **shades)
    return figure


@_without_idle_warnings()
def page(values: FloatArray, space: Space, title: str, path: Path) -> None:
    """Write a map as one HTML file that needs no network; arguments as for `write_map`."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex
    from nilearn import plotting

    top = _top(values)
    if space.kind == "volume":
        view = plotting.view_img(
            _image(np.nan_to_num(values), space),
            title=title,
            cmap=COLOURS,
            symmetric_cmap=False,
            vmin=0.0,
            vmax=top,
            threshold=1e-6,
        )
    elif space.kind == "surface":
        view = plotting.view_surf(
            surf_map=_surface_image(np.nan_to_num(values), space),
            hemi="both",
            cmap=COLOURS,
            symmetric_cmap=False,
            vmin=0.0,
            vmax=top,
            title=title,
            engine="niivue",
        )
    else:
        shades = [to_hex(colormaps[COLOURS](value / top)) for value in np.clip(np.nan_to_num(values), 0.0, top)]
        names = {int(columns[0]): roi for roi, columns in space.rois.items()}
        labels = [f"{names[column]}: r = {value:.3f}" for column, value in enumerate(values)]
        view = plotting.view_markers(space.coordinates_mm, shades, marker_size=14, marker_labels=labels, title=title)
    view.save_as_html(path)


def _top(values: FloatArray) -> float:
    """Upper end of the colour scale: the highest r but for outliers, and never zero."""
    known = values[np.isfinite(values)]
    return max(0.05, float(np.percentile(known, 99.5))) if known.size else 0.05


def _mean(maps: list[FloatArray]) -> FloatArray:
    stacked = np.stack(maps)
    known = np.isfinite(stacked)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _image(values: FloatArray, space: Space) -> Any:
    from nibabel import Nifti1Image

    assert space.mask is not None  # checked by Space
    volume = np.full(space.mask.shape, np.nan if np.isnan(values).any() else 0.0, dtype=np.float32)
    volume[space.mask] = values
    return Nifti1Image(volume, space.affine)  # type: ignore[no-untyped-call]


def _surface_image(values: FloatArray, space: Space) -> Any:
    from nilearn.datasets import load_fsaverage
    from nilearn.surface import SurfaceImage

    if space.mesh != "fsaverage5":
        raise ConfigError(
            f"maps on mesh {space.mesh!r} cannot be drawn: only fsaverage5 comes with nilearn. Set report.figures=false."
        )
    mesh = load_fsaverage(space.mesh)["inflated"]
    half = mesh.parts["left"].n_vertices
    parts = {"left": values[:half].astype(np.float32), "right": values[half:].astype(np.float32)}
    return SurfaceImage(mesh=mesh, data=parts)


def _surface_figure(values: FloatArray, space: Space, top: float) -> Any:
    from matplotlib import pyplot
    from nilearn import plotting
    from nilearn.datasets import load_fsaverage_data

    image = _surface_image(values, space)
    sulci = load_fsaverage_data(mesh=space.mesh, mesh_type="inflated", data_type="sulcal")
    figure, panels = pyplot.subplots(1, 4, figsize=(13, 3.6), subplot_kw={"projection": "3d"})
    views = (("left", "lateral"), ("left", "medial"), ("right", "medial"), ("right", "lateral"))
    for panel, (hemisphere, view) in zip(panels, views, strict=True):
        plotting.plot_surf_stat_map(
            stat_map=image, hemi=hemisphere, view=view, bg_map=sulci, axes=panel, cmap=COLOURS, vmin=0.0, vmax=top,
            symmetric_cbar=False, colorbar=view == "lateral" and hemisphere == "right",
        )  # fmt: skip
    return figure
