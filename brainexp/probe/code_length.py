"""How many bits a linear probe needs to tell the labels (Voita & Titov 2020, online code)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brainexp.containers import FloatArray
from brainexp.probe.linear import Training, losses, trained

#: Shares of the training samples after which a probe is trained and the next stretch is coded; the last goes to the end.
FRACTIONS = tuple(2.0**-power for power in range(10, 0, -1))


def code_length(
    train: tuple[FloatArray, NDArray[np.generic]],
    dev: tuple[FloatArray, NDArray[np.generic]],
    n_labels: int,
    how: Training,
    seeds: Sequence[int],
    device: str = "cpu",
) -> FloatArray:
    """Transmit the labels of the training samples: the first stretch evenly, each next one with what was learned before.

    Parameters
    ----------
    train, dev : (array of shape (n_layers, n_samples, n_dims), array of int of shape (n_samples,))
        Features and classes, training samples in the order of transmission. Dev samples say when to stop training.
    n_labels : int
        Number of classes, 2 or more.
    how : Training
        ``legacy`` gives no code length, for its scores are no probabilities.
    seeds : sequence of int
    device : str

    Returns
    -------
    array of shape (n_layers, n_seeds)
        Bits, everything in base 2; to be compared with n log2(n_labels) for labels sent evenly. The published code adds
        nats to bits.
    """
    features, labels = train
    n_samples = len(labels)
    stops = [int(share * n_samples) for share in FRACTIONS]
    stops = [*sorted({stop for stop in stops if stop >= n_labels}), n_samples]
    bits = np.full((len(features), len(seeds)), stops[0] * np.log2(n_labels))
    for known, stop in pairwise(stops):
        probes = trained(
            (features[:, :known], labels[None, :known]), (dev[0], dev[1][None]), n_labels, how, seeds, device
        )
        bits += losses(probes.scores(features[:, known:stop]), labels[known:stop]).sum(axis=-1)
    return bits


def compression(bits: FloatArray, n_samples: int, n_labels: int) -> FloatArray:
    """Return how many times shorter the code is than labels sent evenly; 1 where features say nothing.

    >>> float(compression(np.array([50.0]), 100, 2)[0])
    2.0
    """
    return np.asarray(n_samples * np.log2(n_labels) / bits)
