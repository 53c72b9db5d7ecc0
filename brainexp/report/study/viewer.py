"""Maps to turn around on the page: one mesh or cloud of places, and a byte per place and map."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from brainexp.containers import FSAVERAGE, FloatArray, Space
from brainexp.report.brain import DRAWN, Shades
from brainexp.report.study.maps import HEADINGS, BrainMap, BrainMaps, shades_of

#: A place without a value.
NOTHING = 255
#: Values are rounded to so many steps of the colour scale.
STEPS = 254
#: Between hemispheres, in millimetres.
GAP_MM = 12.0
#: More points than this make the page slow; then every so many-th is shown.
MAX_POINTS = 20_000


def viewer(found: BrainMaps) -> dict[str, Any]:
    """Describe geometry and maps for the page's script, as JSON takes it.

    Parameters
    ----------
    found : BrainMaps

    Returns
    -------
    dict
        ``kind`` ("mesh" or "points"), ``x``, ``y``, ``z`` (base64 of float32, in mm), for a mesh ``faces`` (base64 of uint16,
        three to a triangle) and ``shade`` (base64 of uint8, the background), ``note``, and ``maps``: each with ``title``,
        ``group``, ``values`` (base64 of uint8: steps of the scale, `NOTHING` where there is no value), ``palette``, ``low``,
        ``high`` and ``classes``.
    """
    at, geometry = _geometry(found.space)
    maps = []
    for one in found.maps:
        shades = shades_of(one, [other for other in found.maps if other.group == one.group])
        maps.append({"title": one.title, "group": HEADINGS[one.group], **_coded(one.values[at], one, shades)})
    return {**geometry, "note": found.note, "maps": maps}


def _geometry(space: Space) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], dict[str, Any]]:
    """Which places are shown, and where."""
    if space.kind == "surface":
        return _mesh(space)
    if space.kind == "rois":
        assert space.coordinates_mm is not None  # checked by Space
        coordinates = space.coordinates_mm
    else:
        assert space.mask is not None  # checked by Space
        assert space.affine is not None
        coordinates = np.argwhere(space.mask) @ space.affine[:3, :3].T + space.affine[:3, 3]
    at = np.arange(0, len(coordinates), max(1, -(-len(coordinates) // MAX_POINTS)))
    size = 9 if space.kind == "rois" else 4
    return at, {"kind": "points", "size": size, **_axes(coordinates[at])}


def _mesh(space: Space) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], dict[str, Any]]:
    from nilearn.datasets import load_fsaverage, load_fsaverage_data

    parts = load_fsaverage(DRAWN)["inflated"].parts
    sulci = load_fsaverage_data(mesh=DRAWN, mesh_type="inflated", data_type="sulcal").data.parts
    left, right = (np.array(parts[side].coordinates, float) for side in ("left", "right"))
    left[:, 0] -= left[:, 0].max() + GAP_MM / 2
    right[:, 0] += GAP_MM / 2 - right[:, 0].min()
    n_drawn = FSAVERAGE[DRAWN]
    faces = np.concatenate([parts["left"].faces, parts["right"].faces + n_drawn])
    depth = np.concatenate([sulci["left"], sulci["right"]])
    at = np.concatenate([np.arange(n_drawn), space.n_places // 2 + np.arange(n_drawn)])
    shade = np.where(depth > 0, 150, 190)  # sulci darker than gyri
    return at, {
        "kind": "mesh",
        **_axes(np.concatenate([left, right])),
        "faces": _base64(faces.ravel(), "<u2"),
        "shade": _base64(shade, "u1"),
    }


def _coded(values: FloatArray, one: BrainMap, shades: Shades) -> dict[str, Any]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    known = np.isfinite(values)
    if one.classes:
        codes = np.where(known, np.nan_to_num(values), NOTHING)
        palette = [to_hex(shades.colours(number)) for number in range(len(shades.classes))]
        scale: dict[str, Any] = {"classes": list(shades.classes)}
    else:
        share = np.clip((np.nan_to_num(values) - shades.low) / (shades.high - shades.low), 0.0, 1.0)
        codes = np.where(known, np.round(share * (STEPS - 1)), NOTHING)
        colours = colormaps[shades.colours]
        palette = [to_hex(colours(step / (STEPS - 1))) for step in range(STEPS)]
        scale = {"classes": [], "low": shades.low, "high": shades.high}
    return {"values": _base64(codes, "u1"), "palette": palette, **scale}


def _axes(coordinates: FloatArray) -> dict[str, str]:
    return {axis: _base64(coordinates[:, number], "<f4") for number, axis in enumerate("xyz")}


def _base64(values: Sequence[float] | np.ndarray[Any, Any], dtype: str) -> str:
    return base64.b64encode(np.asarray(values).astype(dtype).tobytes()).decode("ascii")
