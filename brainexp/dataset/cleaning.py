"""Cleaning of responses, as an option of datasets: one run at a time, through nilearn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from brainexp.containers import FloatArray
from brainexp.errors import ConfigError, DataError

#: Bounds the memory for work; columns do not depend on each other.
VOXELS_AT_ONCE = 8192
#: The filter runs forwards and backwards over edges padded with up to 33 TRs.
FILTER_TRS = 34


@dataclass(frozen=True)
class Cleaning:
    """What is done to each run's responses before the analysis.

    Every step sees one run alone and no feature of the stimulus, so nothing crosses from one run to another: with whole runs
    held out, held-out responses are cleaned by statistics of their own run, as everyone does. Where a run is split into
    blocks (``split.by=block``, or a single run), each step is fitted to held-out rows too and lets them shift training rows a
    little: `crosses_rows` says so, and the run reports it. To remove nuisance with weights of training rows only, leave
    ``nuisance`` empty and give ``encoder.nuisance``.

    The order is that of `nilearn.signal.clean`: trend, filter, nuisance (detrended and filtered alike), scale.

    Parameters
    ----------
    detrend : bool
        Subtract a straight line of time.
    high_pass_hz, low_pass_hz : float or None
        Keep what is faster or slower; Butterworth of fifth order, forwards and backwards.
    nuisance : tuple of str
        Regressors of the dataset that are regressed out, run by run.
    standardise : {"none", "run"}
        Divide each voxel's run by its standard deviation, about its mean.
    repeats : {"mean", "first"}
        What becomes of a story that was presented several times: the mean of its recordings, each cleaned first, or the
        first one. Ceilings see single recordings, cleaned alike.
    """

    detrend: bool = False
    high_pass_hz: float | None = None
    low_pass_hz: float | None = None
    nuisance: tuple[str, ...] = ()
    standardise: Literal["none", "run"] = "none"
    repeats: Literal["mean", "first"] = "mean"

    def __post_init__(self) -> None:
        for name, value in (("high_pass_hz", self.high_pass_hz), ("low_pass_hz", self.low_pass_hz)):
            if value is not None and value <= 0:
                raise ConfigError(f"cleaning: {name} must be positive or null, in Hz, got {value}")
        if self.high_pass_hz is not None and self.low_pass_hz is not None and self.high_pass_hz >= self.low_pass_hz:
            raise ConfigError(
                f"cleaning: high_pass_hz must lie below low_pass_hz, got {self.high_pass_hz} and {self.low_pass_hz}: "
                "nothing would be left."
            )

    @property
    def crosses_rows(self) -> tuple[str, ...]:
        """Steps that are fitted to all rows of a run, by their options."""
        steps = {
            "detrend": self.detrend,
            "high_pass_hz": self.high_pass_hz is not None,
            "low_pass_hz": self.low_pass_hz is not None,
            "nuisance": bool(self.nuisance),
            "standardise": self.standardise == "run",
        }
        return tuple(name for name, done in steps.items() if done)

    def of_run(self, values: FloatArray, tr_s: float, nuisance: Mapping[str, FloatArray], where: str) -> FloatArray:
        """Clean one recording.

        Parameters
        ----------
        values : array of shape (n_trs, n_voxels)
            All rows of the run, before anything is cut off.
        tr_s : float
            Seconds per TR.
        nuisance : mapping of str to array of shape (n_trs, n_regressors)
            What the dataset recorded beside.
        where : str
            Whose run it is, for messages.

        Returns
        -------
        array of shape (n_trs, n_voxels)
            In the dtype of the values; the same array if there is nothing to do. A voxel with NaN stays as it is, a constant
            one becomes zero.

        Raises
        ------
        ConfigError
            If a regressor is unknown, or a frequency cannot be told at this TR.
        DataError
            If the run is too short for a filter.
        """
        if not self.crosses_rows:
            return values
        self._require_possible(len(values), tr_s, nuisance, where)
        regressors = np.hstack([nuisance[name] for name in self.nuisance]) if self.nuisance else None
        cleaned = np.array(values)
        for first in range(0, values.shape[1], VOXELS_AT_ONCE):
            columns = np.arange(first, min(first + VOXELS_AT_ONCE, values.shape[1]))
            columns = columns[np.isfinite(values[:, columns]).all(axis=0)]
            if columns.size:
                cleaned[:, columns] = self._cleaned(values[:, columns], tr_s, regressors)
        return cleaned

    def of_repeats(
        self, recordings: FloatArray, tr_s: float, nuisance: Sequence[Mapping[str, FloatArray]], where: str
    ) -> FloatArray:
        """Clean every recording of one story, and make one of them; see `of_run`.

        Parameters
        ----------
        recordings : array of shape (n_repeats, n_trs, n_voxels)
            Of one story.
        tr_s, where
            As of `of_run`.
        nuisance : sequence of mappings
            As of `of_run`, one per recording.

        Returns
        -------
        array of shape (n_trs, n_voxels)
            A voxel that is NaN in one recording is so in the mean.
        """
        if self.repeats == "first":
            return self.of_run(recordings[0], tr_s, nuisance[0], where)
        total = np.zeros(recordings.shape[1:])
        for recording, own in zip(recordings, nuisance, strict=True):
            total += self.of_run(recording, tr_s, own, where)
        return np.asarray(total / len(recordings), dtype=recordings.dtype)

    def _cleaned(self, values: FloatArray, tr_s: float, regressors: FloatArray | None) -> FloatArray:
        from nilearn.signal import clean

        filtered = self.high_pass_hz is not None or self.low_pass_hz is not None
        with np.errstate(divide="ignore", invalid="ignore"):  # nilearn compares with the mean, which may be zero before
            found: FloatArray = clean(
                # In double precision, for the filter's poles lie close to the unit circle.
                values.astype(np.float64),
                detrend=self.detrend,
                standardize="zscore_sample" if self.standardise == "run" else None,
                confounds=regressors,
                filter="butterworth" if filtered else False,
                high_pass=self.high_pass_hz,
                low_pass=self.low_pass_hz,
                t_r=tr_s,
            )
        return found

    def _require_possible(self, n_trs: int, tr_s: float, nuisance: Mapping[str, FloatArray], where: str) -> None:
        for name in self.nuisance:
            if name not in nuisance:
                known = ", ".join(nuisance) or "none"
                raise ConfigError(f"cleaning: {where} has no nuisance regressor {name!r}. Known: {known}.")
        fastest = 0.5 / tr_s
        for name, value in (("high_pass_hz", self.high_pass_hz), ("low_pass_hz", self.low_pass_hz)):
            if value is not None and value >= fastest:
                raise ConfigError(
                    f"cleaning: {name}={value:g} Hz cannot be told at a TR of {tr_s:g} s: give less than {fastest:g} Hz."
                )
        if (self.high_pass_hz or self.low_pass_hz) and n_trs < FILTER_TRS:
            raise DataError(f"{where}: {n_trs} TRs are too few to filter; at least {FILTER_TRS} are needed.")
