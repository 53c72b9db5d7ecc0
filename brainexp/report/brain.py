"""Maps of r in the brain: files for other software, a picture, and a page to turn around."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from brainexp.containers import FSAVERAGE, Flatmap, FloatArray, Space, spread_out
from brainexp.report.figures import DOTS_PER_INCH
from brainexp.result import Result

log = logging.getLogger(__name__)

#: The mesh that comes with nilearn: what lies on a finer fsaverage is drawn at its first vertices.
DRAWN = "fsaverage5"
#: Of a volume in a subject's own space.
SLICES = 8
#: Reads well on the white background, where voxels that were not predicted are left out.
COLOURS = "viridis"


@dataclass(frozen=True)
class Shades:
    """How the values of a map become colours.

    Parameters
    ----------
    low, high : float
        Values of the first and of the last colour.
    colours : str or matplotlib Colormap
        Of a name that matplotlib knows, or made for the map.
    classes : tuple of str
        Where values are numbers of classes from 0: what these are called. Between neighbouring classes there is nothing.
    """

    low: float
    high: float
    colours: Any = COLOURS
    classes: tuple[str, ...] = ()


def write_maps(result: Result, maps: Path, figures: Path) -> None:
    """Write each subject's map of r and, where subjects share a space, their mean.

    Parameters
    ----------
    result : Result
        What was found.
    maps : Path
        Folder for NIfTI or GIfTI files; a space of ROIs has none, and columns whose places nobody knows have no map at all.
    figures : Path
        Folder for ``brain.png`` and ``brain.html``, of the mean or of the first subject, and for ``flatmap_<subject>.png``
        where subjects have one. A mesh that cannot be drawn has no picture, and the log says so.
    """
    voxels, r = result.voxels, result.per_voxel["r"]
    by_subject = {
        subject: voxels.spaces[subject].placed(r[voxels.owner == number])
        for number, subject in enumerate(voxels.subjects)
    }
    first, *others = voxels.subjects
    space = voxels.spaces[first]
    if space.kind == "unplaced":
        return
    shared = all(space.same_places(voxels.spaces[other]) for other in others)
    if space.kind != "rois":
        maps.mkdir(parents=True)
        for subject, values in by_subject.items():
            write_map(values, voxels.spaces[subject], maps, f"{subject}_r")
        if shared and others:
            write_map(_mean(list(by_subject.values())), space, maps, "mean_r")
    for number, subject in enumerate(voxels.subjects):
        own, values = voxels.spaces[subject], r[voxels.owner == number]
        told = (f"r, subject {subject}", figures / f"flatmap_{subject}.png")
        if own.flatmap is not None:
            flat_picture(values, own.flatmap, *told)
        elif own.pycortex is not None and find_spec("cortex") is not None:
            pycortex_picture(values, own, *told)
    if not drawable(space):
        log.warning(
            "Maps on mesh %r are written, but not drawn: known meshes are %s. Open them in other software.",
            space.mesh,
            ", ".join(FSAVERAGE),
        )
        return
    shown = _mean(list(by_subject.values())) if shared else by_subject[first]
    who = f"mean of {len(voxels.subjects)} subjects" if shared and others else f"subject {first}"
    picture(shown, space, f"r, {who}. {space.note}", figures / "brain.png")
    page(shown, space, f"r, {who}", figures / "brain.html")


def drawable(space: Space) -> bool:
    """Whether there is a picture of the space: of meshes, fsaverage5 and finer ones."""
    return space.kind != "surface" or FSAVERAGE.get(str(space.mesh), 0) >= FSAVERAGE[DRAWN]


def write_map(values: FloatArray, space: Space, folder: Path, name: str) -> None:
    """Write one map as NIfTI (volume) or as one GIfTI per hemisphere (surface), at the resolution of its space.

    Parameters
    ----------
    values : array of shape (n_places,)
        NaN where a place was not scored.
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
        for hemisphere, half in zip("LR", np.split(values, 2), strict=True):
            _gifti(half, str(space.mesh), hemisphere).to_filename(folder / f"{name}_hemi-{hemisphere}.gii")


@contextmanager
def _without_idle_warnings() -> Iterator[None]:
    """Silence what means nothing to the reader: masked arrays in nilearn, figures without a window, a mask as background."""
    idle = (
        ".*'partition' will ignore the 'mask'",
        ".*'agg' matplotlib backend that is non-interactive",
        "Resampling binary images",
    )
    with warnings.catch_warnings():
        for words in idle:
            warnings.filterwarnings("ignore", message=words, category=UserWarning)
        warnings.filterwarnings(
            "ignore", message="All-NaN slice", category=RuntimeWarning
        )  # a hemisphere without values
        yield


@_without_idle_warnings()
def picture(values: FloatArray, space: Space, title: str, *paths: Path, shades: Shades | None = None) -> None:
    """Draw a map as a static figure into files of one or more formats; without shades, r from 0 to the highest."""
    import matplotlib

    matplotlib.use("agg", force=False)
    from matplotlib import pyplot

    figure = _figure(values, space, shades or Shades(0.0, _top(values)))
    figure.suptitle(title, fontsize=10)
    if shades is not None and shades.classes:
        _name_classes(figure, shades)
    for panel in figure.axes:
        for drawn in panel.collections:
            drawn.set_rasterized(True)  # a mesh of 20,000 faces is no drawing by lines
    for path in paths:
        figure.savefig(path, dpi=DOTS_PER_INCH)
    pyplot.close(figure)


def _name_classes(figure: Any, shades: Shades) -> None:
    from matplotlib.patches import Patch

    colour = [shades.colours(number) for number in range(len(shades.classes))]
    told = [Patch(color=one, label=name) for one, name in zip(colour, shades.classes, strict=True)]
    figure.legend(handles=told, loc="lower center", ncols=min(6, len(told)), fontsize=8, frameon=False)


def flat_picture(values: FloatArray, flatmap: Flatmap, title: str, path: Path) -> None:
    """Draw one value per column on a subject's flattened cortex.

    Parameters
    ----------
    values : array of shape (n_voxels,)
        NaN where a voxel was not scored.
    flatmap : Flatmap
        The subject's.
    title : str
        Above the picture.
    path : Path
        Of the picture.
    """
    from matplotlib.figure import Figure

    pixels = np.full(flatmap.mask.shape, np.nan)
    pixels[flatmap.mask] = spread_out(flatmap.to_pixels, values)
    figure = Figure(figsize=(10, 5), layout="constrained")
    panel = figure.subplots()
    # The first axis of a flatmap runs to the right, the second one upwards.
    shown = panel.imshow(pixels.T, origin="lower", cmap=COLOURS, vmin=0.0, vmax=_top(values), aspect="equal")
    panel.set_axis_off()
    panel.set_title(title, fontsize=10)
    figure.colorbar(shown, ax=panel, shrink=0.6)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def pycortex_picture(values: FloatArray, space: Space, title: str, path: Path) -> None:
    """Draw one value per place of a volume on the subject's flattened cortex, with pycortex.

    pycortex keeps what it computes in the store; a store that cannot be written has no picture, and the log says so.

    Parameters
    ----------
    values : array of shape (n_places,)
        NaN where a voxel was not scored.
    space : Space
        A volume with ``pycortex``.
    title : str
        Above the picture.
    path : Path
        Of the picture.
    """
    import cortex
    from matplotlib import pyplot

    assert space.mask is not None  # checked by Space
    assert space.pycortex is not None
    volume = np.full(space.mask.shape, np.nan)
    volume[space.mask] = values
    before = cortex.db.filestore
    try:
        cortex.db.filestore = str(space.pycortex.store)
        cortex.db.reload_subjects()
        place = (space.pycortex.subject, space.pycortex.transform)
        shown = cortex.Volume(volume, *place, cmap=COLOURS, vmin=0.0, vmax=_top(values))
        # Outlines and names of regions would need Inkscape.
        figure = cortex.quickflat.make_figure(shown, with_rois=False, with_labels=False)
        figure.suptitle(title, fontsize=10)
        figure.savefig(path, dpi=DOTS_PER_INCH)
        pyplot.close(figure)
    except PermissionError as error:
        log.warning("%s is not drawn with pycortex, which cannot write to its store: %s", path.stem, error)
    finally:
        cortex.db.filestore = before
        cortex.db.reload_subjects()


def _figure(values: FloatArray, space: Space, shades: Shades) -> Any:
    from matplotlib import pyplot
    from nilearn import plotting

    if space.kind == "surface":
        return _surface_figure(values, shades)
    # A glass brain shows the highest along the line of sight, which means nothing of classes.
    if space.kind == "volume" and (space.frame == "native" or shades.classes):
        return _slices_figure(values, space, shades)
    figure = pyplot.figure(figsize=(10, 3.6))
    if space.kind == "volume":
        given: dict[str, Any] = {"vmin": shades.low, "vmax": shades.high, "cmap": shades.colours, "plot_abs": False}
        image = _image(np.nan_to_num(values), space)
        plotting.plot_glass_brain(
            image, display_mode="lyrz", figure=figure, threshold=1e-6, colorbar=not shades.classes, **given
        )
    else:
        given = {"node_vmin": shades.low, "node_vmax": shades.high, "node_cmap": shades.colours, "node_size": 120}
        known = np.isfinite(values) if shades.classes else np.ones(len(values), dtype=bool)
        assert space.coordinates_mm is not None  # checked by Space
        plotting.plot_markers(
            np.nan_to_num(values[known]), space.coordinates_mm[known], display_mode="lyrz", figure=figure, alpha=1.0,
            colorbar=not shades.classes, **given,
        )  # fmt: skip
    return figure


@_without_idle_warnings()
def page(values: FloatArray, space: Space, title: str, path: Path) -> None:
    """Write a map as one HTML file that needs no network; arguments as for `write_map`."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex
    from nilearn import plotting

    top = _top(values)
    if space.kind == "volume":
        shown = space if space.frame == "mni" else _straight(space)
        view = plotting.view_img(
            _image(np.nan_to_num(values), shown),
            bg_img="MNI152" if space.frame == "mni" else _image(np.ones(space.n_places), shown),
            title=title,
            cmap=COLOURS,
            symmetric_cmap=False,
            vmin=0.0,
            vmax=top,
            threshold=1e-6,
        )
    elif space.kind == "surface":
        view = plotting.view_surf(
            surf_map=_surface_image(np.nan_to_num(values)),
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
        names = {int(column): roi for roi, columns in space.rois.items() for column in columns}
        labels = [f"{names.get(column, column)}: r = {value:.3f}" for column, value in enumerate(values)]
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


def _gifti(values: FloatArray, mesh: str, hemisphere: str) -> Any:
    from nibabel.gifti.gifti import GiftiDataArray, GiftiImage, GiftiMetaData

    structure = {"L": "CortexLeft", "R": "CortexRight"}[hemisphere]
    values = values.astype(np.float32)
    return GiftiImage(  # type: ignore[no-untyped-call]
        meta=GiftiMetaData({"AnatomicalStructurePrimary": structure, "mesh": mesh}),  # type: ignore[no-untyped-call]
        darrays=[GiftiDataArray(values, intent="NIFTI_INTENT_SHAPE", datatype="NIFTI_TYPE_FLOAT32")],  # type: ignore[no-untyped-call]
    )


def _straight(space: Space) -> Space:
    """The grid as it is stored: a page would have to interpolate an oblique one."""
    assert space.affine is not None  # checked by Space
    sizes = np.sqrt((space.affine[:3, :3] ** 2).sum(axis=0))
    return replace(space, affine=np.diag([*sizes, 1.0]))


def _surface_image(values: FloatArray) -> Any:
    """Of any fsaverage that is at least as fine as the mesh that is drawn."""
    from nilearn.datasets import load_fsaverage
    from nilearn.surface import SurfaceImage

    left, right = (half[: FSAVERAGE[DRAWN]].astype(np.float32) for half in np.split(values, 2))
    return SurfaceImage(mesh=load_fsaverage(DRAWN)["inflated"], data={"left": left, "right": right})


def _slices_figure(values: FloatArray, space: Space, shades: Shades) -> Any:
    """Slices from below to above: the outline of a template is not that of a subject."""
    from matplotlib import pyplot

    assert space.mask is not None  # checked by Space
    assert space.affine is not None
    upwards = int(np.abs(space.affine[2, :3]).argmax())
    volume = np.full(space.mask.shape, np.nan)
    volume[space.mask] = values
    volume = np.moveaxis(volume, upwards, -1)
    held = np.flatnonzero(np.moveaxis(space.mask, upwards, -1).any(axis=(0, 1)))
    slices = np.unique(np.linspace(held[0], held[-1], SLICES).round().astype(int))
    figure, panels = pyplot.subplots(1, len(slices), figsize=(13, 2.6), squeeze=False, layout="constrained")
    for panel, number in zip(panels[0], slices, strict=True):
        given: dict[str, Any] = {"cmap": shades.colours, "vmin": shades.low, "vmax": shades.high}
        shown = panel.imshow(volume[:, :, number].T, origin="lower", interpolation="nearest", **given)
        panel.set_title(f"slice {number}", fontsize=8)
        panel.set_axis_off()
    if not shades.classes:
        figure.colorbar(shown, ax=panels, shrink=0.8)
    return figure


def _surface_figure(values: FloatArray, shades: Shades) -> Any:
    from matplotlib import pyplot
    from nilearn import plotting
    from nilearn.datasets import load_fsaverage_data

    image = _surface_image(values)
    sulci = load_fsaverage_data(mesh=DRAWN, mesh_type="inflated", data_type="sulcal")
    figure, panels = pyplot.subplots(1, 4, figsize=(13, 3.6), subplot_kw={"projection": "3d"})
    views = (("left", "lateral"), ("left", "medial"), ("right", "medial"), ("right", "lateral"))
    for panel, (hemisphere, view) in zip(panels, views, strict=True):
        plotting.plot_surf_stat_map(
            stat_map=image, hemi=hemisphere, view=view, bg_map=sulci, axes=panel, cmap=shades.colours, vmin=shades.low,
            vmax=shades.high, symmetric_cbar=False, avg_method="median" if shades.classes else "mean",
            colorbar=view == "lateral" and hemisphere == "right" and not shades.classes,
        )  # fmt: skip
    return figure
