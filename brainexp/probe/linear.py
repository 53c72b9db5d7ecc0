"""Linear probes as the Holmes benchmark trains them, all seeds and label sets of a layer at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainexp.containers import FloatArray


@dataclass(frozen=True)
class Training:
    """How a probe is trained: as by Waldis et al. (2024, Holmes), but for ``standardise`` and a faster ``learning_rate``.

    Parameters
    ----------
    epochs : int
        At most; training ends earlier when the loss on dev samples has not fallen for ``patience`` epochs.
    least_steps : int
        Small sets are gone through more often, and with more patience, until there would be so many steps; 0 as published.
    batch : int
        Samples per step.
    learning_rate : float
        Of Adam (0.001 as published), after a linear warm-up over the first tenth of all steps; it falls linearly to zero.
    warm_up : float
        Share of the steps.
    dropout : float
        Share of features left out in a step.
    patience : int
        In epochs.
    standardise : bool
        Bring every feature to mean 0 and spread 1, learned on training samples. Published probes do not, so that their
        scores depend on the scale of a layer.
    legacy : bool
        Apply softmax before the cross-entropy, which applies it again, as the published code does: gradients shrink, and
        the loss is no code length.
    """

    epochs: int = 20
    least_steps: int = 200
    batch: int = 64
    learning_rate: float = 0.01
    warm_up: float = 0.1
    dropout: float = 0.2
    patience: int = 5
    standardise: bool = True
    legacy: bool = False


@dataclass(frozen=True, eq=False)
class Trained:
    """Probes that were trained side by side.

    Parameters
    ----------
    weight, bias : tensors of shape (n_probes, n_dims, n_labels) and (n_probes, 1, n_labels)
    mean, scale : tensors of shape (n_dims,)
        Of the training samples.
    """

    weight: Any
    bias: Any
    mean: Any
    scale: Any

    def scores(self, features: FloatArray) -> FloatArray:
        """Return logits, or predictions of a regression, array of shape (n_probes, n_samples, n_labels)."""
        import torch

        rows = torch.as_tensor(features, device=self.weight.device)
        found = torch.matmul((rows - self.mean) / self.scale, self.weight) + self.bias
        return np.asarray(found.cpu().numpy())


def trained(
    train: tuple[FloatArray, NDArray[np.generic]],
    dev: tuple[FloatArray, NDArray[np.generic]],
    n_labels: int,
    how: Training,
    seeds: Sequence[int],
    device: str = "cpu",
) -> Trained:
    """Train one linear probe per seed and set of labels.

    Parameters
    ----------
    train, dev : (array of shape (n_samples, n_dims), array of shape (n_sets, n_samples))
        Features and labels: classes as int, or numbers as float. Dev samples say when to stop, and which epoch is kept.
    n_labels : int
        Classes; 1 for a regression.
    how : Training
    seeds : sequence of int
        Each gives a probe for every set of labels; of the first weights, the order of samples and dropout.
    device : str
        Of torch.

    Returns
    -------
    Trained
        n_sets × n_seeds probes, the seeds of the first set first.
    """
    import torch

    x, y = torch.as_tensor(np.asarray(train[0], np.float32), device=device), _targets(train[1], n_labels, device)
    x_dev, y_dev = torch.as_tensor(np.asarray(dev[0], np.float32), device=device), _targets(dev[1], n_labels, device)
    mean, scale = torch.zeros(x.shape[1], device=device), torch.ones(x.shape[1], device=device)
    if how.standardise:
        mean, scale = x.mean(0), x.std(0, correction=0)
        scale[scale == 0] = 1.0
    x, x_dev = (x - mean) / scale, (x_dev - mean) / scale
    n_sets = len(y)
    y, y_dev = (labels.repeat_interleave(len(seeds), 0) for labels in (y, y_dev))
    draws = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    n_probes = n_sets * len(seeds)
    bound = x.shape[1] ** -0.5  # torch's own for linear layers

    def per_probe(draw: Callable[[Any], Any]) -> Any:
        own = torch.stack([draw(one) for one in draws])  # the same whatever is trained beside
        return own.repeat(n_sets, *[1] * (own.ndim - 1)).to(device)

    weight = per_probe(lambda one: (torch.rand(x.shape[1], n_labels, generator=one) * 2 - 1) * bound).requires_grad_()
    bias = per_probe(lambda one: (torch.rand(1, n_labels, generator=one) * 2 - 1) * bound).requires_grad_()
    n_batches = -(-len(x) // how.batch)
    more = max(-(-how.least_steps // (how.epochs * n_batches)), 1)
    n_steps = how.epochs * more * n_batches
    optimizer = torch.optim.Adam([weight, bias], lr=how.learning_rate)
    warm = max(int(how.warm_up * n_steps), 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (n_steps - step) / max(n_steps - warm, 1))
    )
    best = torch.full((n_probes,), float("inf"), device=device)
    since = torch.zeros(n_probes, device=device)
    kept = (weight.detach().clone(), bias.detach().clone())
    for _ in range(how.epochs * more):
        order = per_probe(lambda one: torch.randperm(len(x), generator=one))
        for step in range(n_batches):
            at = order[:, step * how.batch : (step + 1) * how.batch]
            kept_features = per_probe(partial(_coins, (at.shape[1], x.shape[1]), 1 - how.dropout))
            rows = x[at] * kept_features / (1 - how.dropout)
            loss = _loss(torch.baddbmm(bias, rows, weight), y.gather(1, at), how).mean(1)
            optimizer.zero_grad()
            loss.sum().backward()  # the probes share nothing, so their gradients do not mix
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            now = _loss(torch.matmul(x_dev, weight) + bias, y_dev, how).mean(1)
        better = (now < best) & (since < how.patience * more)
        since = torch.where(better, 0.0, since + 1)  # once beyond patience, a probe never comes back
        best = torch.where(better, now, best)
        chosen = better[:, None, None]
        kept = (torch.where(chosen, weight.detach(), kept[0]), torch.where(chosen, bias.detach(), kept[1]))
        if bool((since >= how.patience * more).all()):
            break
    return Trained(*kept, mean, scale)


def _coins(shape: tuple[int, int], chance: float, draws: Any) -> Any:
    import torch

    return torch.rand(shape, generator=draws) < chance


def losses(scores: FloatArray, labels: NDArray[np.generic]) -> FloatArray:
    """Cross-entropy of each sample in bits.

    Parameters
    ----------
    scores : array of shape (..., n_samples, n_labels)
        Logits.
    labels : array of int of shape (n_samples,)

    Returns
    -------
    array of shape (..., n_samples)
    """
    from scipy.special import log_softmax

    chosen = np.take_along_axis(log_softmax(scores, axis=-1), np.broadcast_to(labels, scores.shape[:-1])[..., None], -1)
    return np.asarray(-chosen[..., 0] / np.log(2))


def _targets(labels: NDArray[np.generic], n_labels: int, device: str) -> Any:
    import torch

    return torch.as_tensor(np.asarray(labels, np.float32 if n_labels == 1 else np.int64), device=device)


def _loss(scores: Any, labels: Any, how: Training) -> Any:
    """Loss of each sample, of shape (n_probes, n_samples)."""
    import torch

    if scores.shape[-1] == 1:
        return torch.nn.functional.smooth_l1_loss(scores[..., 0], labels, reduction="none")
    if how.legacy:
        scores = scores.softmax(-1)
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none").view(
        labels.shape
    )


def quality(scores: FloatArray, labels: NDArray[np.generic], n_labels: int) -> float:
    """Macro-F1 of the most likely classes, or Pearson's r of a regression; NaN where predictions are constant.

    Parameters
    ----------
    scores : array of shape (n_samples, n_labels)
    labels : array of shape (n_samples,)
    n_labels : int
    """
    if n_labels == 1:
        if np.ptp(scores) == 0 or np.ptp(np.asarray(labels, float)) == 0:
            return float("nan")
        return float(np.corrcoef(scores[:, 0], np.asarray(labels, float))[0, 1])
    from sklearn.metrics import f1_score

    return float(f1_score(labels, scores.argmax(1), average="macro"))
