"""Where the simulated regions lie, on a grid in MNI space or on a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brainexp.containers import FloatArray, IntArray, Space
from brainexp.errors import ConfigError


@dataclass(frozen=True)
class Region:
    """A place, or one in each hemisphere, and the annotation spaces that it responds to.

    Parameters
    ----------
    centres_mm : tuple of (float, float, float)
        MNI coordinates.
    responds_to : tuple of str
        Names of annotation spaces; empty for a region that responds to nothing.
    """

    centres_mm: tuple[tuple[float, float, float], ...]
    responds_to: tuple[str, ...]


#: Centres are approximate, from general knowledge of the published maps. Language regions: parcels of Fedorenko et al.
#: (2010) and the atlas of Lipkin et al. (2022); AG, PCC and dmPFC also as groups of HCP-MMP areas (Glasser et al. 2016).
#: A1, V1 and hand M1: Heschl's gyrus, calcarine sulcus and hand knob. What they respond to is planted, not published.
REGIONS: dict[str, Region] = {
    "A1": Region(((-48.0, -22.0, 8.0), (50.0, -20.0, 8.0)), ("rate",)),
    "IFG": Region(((-50.0, 18.0, 16.0),), ("syntax",)),
    "IFGorb": Region(((-46.0, 32.0, -8.0),), ("semantics",)),
    "MFG": Region(((-44.0, 0.0, 50.0),), ("syntax",)),
    "ATL": Region(((-54.0, -4.0, -20.0),), ("semantics",)),
    "PTL": Region(((-56.0, -42.0, 6.0),), ("syntax", "semantics")),
    "AG": Region(((-44.0, -66.0, 30.0),), ("discourse",)),
    "PCC": Region(((-6.0, -54.0, 28.0),), ("discourse",)),
    "dmPFC": Region(((-6.0, 50.0, 34.0),), ("discourse",)),
    "V1": Region(((-8.0, -88.0, 2.0), (10.0, -86.0, 4.0)), ()),
    "M1": Region(((-38.0, -24.0, 58.0), (38.0, -24.0, 58.0)), ()),
}
N_CENTRES = sum(len(region.centres_mm) for region in REGIONS.values())

#: First corner and extent of the usual MNI152 grid, in millimetres.
CORNER_MM = (-90.0, -126.0, -72.0)
EXTENT_MM = (182.0, 218.0, 182.0)
#: An ellipsoid about the size of the brain, in which voxels may lie; needs no template and no download.
BRAIN_CENTRE_MM = (0.0, -18.0, 8.0)
BRAIN_RADII_MM = (72.0, 90.0, 68.0)
NOTE = "Simulated responses; regions lie at approximate places."


def volume(n_voxels: int, voxel_mm: float) -> tuple[Space, IntArray]:
    """Put voxels around the regions' centres on a grid.

    Parameters
    ----------
    n_voxels : int
        How many, over all regions.
    voxel_mm : float
        Edge of a voxel.

    Returns
    -------
    space : Space
        A volume with one column per voxel.
    region : array of int of shape (n_voxels,)
        Region of each column, as its position in `REGIONS`.

    Raises
    ------
    ConfigError
        If the grid has fewer places, or there are fewer voxels than centres.
    """
    shape = tuple(int(np.ceil(extent / voxel_mm)) for extent in EXTENT_MM)
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = CORNER_MM
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * voxel_mm + np.array(CORNER_MM)
    inside = (((places - BRAIN_CENTRE_MM) / np.array(BRAIN_RADII_MM)) ** 2).sum(axis=-1) <= 1
    if n_voxels > inside.sum():
        raise ConfigError(
            f"dataset 'synthetic': n_voxels={n_voxels}, but a grid of {voxel_mm:g} mm has {inside.sum()} places in the "
            "brain. Lower dataset.voxel_mm or dataset.n_voxels."
        )
    labels = np.full(shape, -1)
    labels[inside] = nearest_region(places[inside], n_voxels)
    mask = labels >= 0
    region = labels[mask]
    space = Space(kind="volume", n_voxels=n_voxels, rois=_columns(region), mask=mask, affine=affine, note=NOTE)
    return space, region


def surface(n_voxels: int, mesh: str) -> tuple[Space, IntArray]:
    """Choose vertices around the regions' centres on a mesh that comes with nilearn.

    Parameters
    ----------
    n_voxels : int
        How many, over all regions.
    mesh : str
        Such as "fsaverage5".

    Returns
    -------
    space : Space
        A surface with one column per vertex of the mesh.
    region : array of int of shape (n_vertices,)
        Region of each column, as its position in `REGIONS`; -1 for vertices that were not chosen.

    Raises
    ------
    ConfigError
        If the mesh has fewer vertices, or there are fewer voxels than centres.
    """
    from nilearn.datasets import load_fsaverage

    parts = load_fsaverage(mesh)["pial"].parts
    places = np.vstack([parts["left"].coordinates, parts["right"].coordinates]).astype(float)
    if n_voxels > len(places):
        raise ConfigError(
            f"dataset 'synthetic': n_voxels={n_voxels}, but {mesh} has {len(places)} vertices. Lower dataset.n_voxels."
        )
    region = nearest_region(places, n_voxels)
    return Space(kind="surface", n_voxels=len(places), rois=_columns(region), mesh=mesh, note=NOTE), region


def nearest_region(places_mm: FloatArray, n_chosen: int) -> IntArray:
    """Choose the places nearest to any centre, and give each to the region of its nearest centre.

    Parameters
    ----------
    places_mm : array of shape (n_places, 3)
        Candidates.
    n_chosen : int
        How many to choose.

    Returns
    -------
    array of int of shape (n_places,)
        Position in `REGIONS`, -1 where a place was not chosen.

    Raises
    ------
    ConfigError
        If there are fewer to choose than centres: each needs one.
    """
    if n_chosen < N_CENTRES:
        raise ConfigError(
            f"dataset 'synthetic': n_voxels must be at least {N_CENTRES}, one for each centre, got {n_chosen}"
        )
    owner, distance = [], []
    for number, region in enumerate(REGIONS.values()):
        for centre in region.centres_mm:
            # Millimetres are rounded, so that ties are ties on every platform and the order of places decides.
            away = np.round(((places_mm - centre) ** 2).sum(axis=1), 6)
            snapped = places_mm[np.argmin(away)]  # a mesh may pass a centre at some distance
            reached = np.round(((places_mm - snapped) ** 2).sum(axis=1), 6)
            other_side = places_mm[:, 0] * np.sign(centre[0]) < 0
            distance.append(np.where(other_side, np.inf, reached))
            owner.append(number)
    closest = np.argmin(distance, axis=0)
    chosen = np.argsort(np.min(distance, axis=0), kind="stable")[:n_chosen]
    labels = np.full(len(places_mm), -1)
    labels[chosen] = np.array(owner)[closest[chosen]]
    return labels


def _columns(region: IntArray) -> dict[str, IntArray]:
    return {name: np.flatnonzero(region == number) for number, name in enumerate(REGIONS)}
