"""Weights of a fitted encoder: save them, load them, predict responses to new stimuli."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from brainexp.align.delay import delayed
from brainexp.containers import Design, FloatArray, Fold, IntArray
from brainexp.errors import DataError
from brainexp.solve.bands import Bands
from brainexp.solve.features import scaling, standardised
from brainexp.solve.solver import Work, chosen

#: How readouts are saved.
READOUT_FORMATS = ("safetensors", "npz")
#: What a file must say of itself.
FORMAT = "brainexp-readout-1"
ARRAYS = ("mean", "scale", "weights", "intercept", "penalty", "columns")


@dataclass(frozen=True, eq=False)
class Readout:
    """A linear map from the features of TRs to responses.

    Parameters
    ----------
    layer : int
        Whose features it reads.
    delays : tuple of int, in TRs
        Finite impulse response.
    mean, scale : arrays of shape (n_dims,)
        By which features are standardised; scale is infinite for dimensions that are not used.
    weights : array of shape (n_delays, n_dims, n_voxels)
        Of the standardised features.
    intercept : array of shape (n_voxels,)
        Response to average features.
    penalty : array of shape (n_voxels,)
        With which it was fitted.
    columns : array of int of shape (n_voxels,)
        Which of the subject's voxels they are; voxels that cannot be scored are left out.
    """

    layer: int
    delays: tuple[int, ...]
    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    intercept: FloatArray
    penalty: FloatArray
    columns: IntArray

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict the responses to one run.

        Parameters
        ----------
        features : array of shape (n_trs, n_dims)
            Features of the layer at TR times, not yet delayed.

        Returns
        -------
        array of shape (n_trs, n_voxels)
            Features before the run's start are taken as average.

        Raises
        ------
        DataError
            If features have another width than the layer had.
        """
        if features.shape[1] != len(self.mean):
            raise DataError(
                f"features have {features.shape[1]} dimensions, but the readout was fitted to {len(self.mean)} of layer "
                f"{self.layer}. Give features of the same model and layer."
            )
        scaled = (features - self.mean) / self.scale
        n_voxels = self.weights.shape[2]
        predicted: FloatArray = delayed(scaled, self.delays) @ self.weights.reshape(-1, n_voxels) + self.intercept
        return predicted

    def save(self, path: Path) -> None:
        """Write to ``.safetensors`` or ``.npz``, under a temporary name first."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        facts = {"format": FORMAT, "layer": self.layer, "delays": list(self.delays)}
        partial = path.with_name(f".{path.name}.partial")
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(arrays, partial, metadata={"readout": json.dumps(facts)})
        else:
            with partial.open("wb") as file:
                np.savez(file, readout=np.array(json.dumps(facts)), **arrays)
        partial.rename(path)


def load(path: str | Path) -> Readout:
    """Read what `Readout.save` wrote.

    Raises
    ------
    DataError
        If the file is not there, or is not a readout.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no readout at {path}. Runs leave them with readout=safetensors.")
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="np") as file:
                facts = json.loads(file.metadata()["readout"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        else:
            with np.load(path) as stored:
                arrays = {name: stored[name] for name in stored.files}
                facts = json.loads(str(arrays.pop("readout")))
        if facts.pop("format") != FORMAT:
            raise ValueError("another format")
    except Exception as error:
        raise DataError(
            f"{path} is not a readout of brainexp ({error}). Give a file that a run has written."
        ) from error
    return Readout(layer=int(facts["layer"]), delays=tuple(facts["delays"]), **arrays)


def read_out(
    design: Design,
    layer: int,
    responses: FloatArray,
    columns: IntArray,
    folds: Sequence[Fold],
    alphas: Sequence[float],
    work: Work,
    form: Literal["auto", "primal", "dual", "downdated"] = "auto",
) -> Readout:
    """Fit all rows of a run, penalties chosen on the folds by which it was scored.

    Parameters
    ----------
    design : Design
        Features of the layer.
    layer : int
        Its number.
    responses : array of shape (n_rows, n_voxels)
        All rows.
    columns : array of int of shape (n_voxels,)
        Which of the subject's voxels they are.
    folds : sequence of Fold
        Their held-out rows are validated on.
    alphas, work, form
        As for `brainexp.solve.bands.Bands`.

    Returns
    -------
    Readout
        It has seen every row: predict other stimuli with it.
    """
    import torch

    every = np.arange(len(responses))
    rows = Fold(train=every, test=every[:0], inner=tuple((fold.train, fold.test) for fold in folds))
    bands = Bands([design], rows, alphas, responses.shape[1], work, form)
    solver = bands.solver([1.0])
    _, penalty = chosen(solver.search(responses), alphas)
    found = torch.from_numpy(solver.weights(responses, penalty))
    trs = standardised(design, every, "cpu").to(found.dtype)
    learned = scaling(design, every)
    weights = np.zeros((len(design.delays), design.runs[0].shape[1], responses.shape[1]), np.float32)
    mean_row = torch.zeros(len(design.delays), trs.shape[1], dtype=found.dtype)
    for at, source in enumerate(design.sources()):
        shifted = trs[torch.from_numpy(source)]
        mean_row[at] = shifted.mean(dim=0)
        own = found[at * trs.shape[1] : (at + 1) * trs.shape[1]] if bands.form == "primal" else shifted.T @ found
        weights[at][learned.varying] = own.numpy()
    used = torch.from_numpy(weights[:, learned.varying])
    offset = torch.einsum("kd,kdv->v", mean_row, used.to(mean_row.dtype)).numpy()
    mean = np.zeros(design.runs[0].shape[1])
    scale = np.full_like(mean, np.inf)
    mean[learned.varying], scale[learned.varying] = learned.mean, learned.scale
    return Readout(layer, design.delays, mean, scale, weights, responses.mean(axis=0) - offset, penalty, columns)
