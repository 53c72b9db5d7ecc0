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
    weight, bias : tensors of shape (n_layers, n_dims, n_probes, n_labels) and (n_layers, 1, n_probes, n_labels)
    mean, scale : tensors of shape (n_layers, 1, n_dims)
        Of the training samples.
    """

    weight: Any
    bias: Any
    mean: Any
    scale: Any

    def scores(self, features: FloatArray) -> FloatArray:
        """Return logits, or predictions of a regression.

        Parameters
        ----------
        features : array of shape (n_layers, n_samples, n_dims)

        Returns
        -------
        array of shape (n_layers, n_probes, n_samples, n_labels)
        """
        import torch

        rows = torch.as_tensor(features, device=self.weight.device)
        found = _outputs((rows - self.mean) / self.scale, self.weight, self.bias)
        return np.asarray(found.transpose(1, 2).cpu().numpy())


def trained(
    train: tuple[FloatArray, NDArray[np.generic]],
    dev: tuple[FloatArray, NDArray[np.generic]],
    n_labels: int,
    how: Training,
    seeds: Sequence[int],
    device: str = "cpu",
) -> Trained:
    """Train one linear probe per layer, seed and set of labels.

    Layers and sets see samples in the same order with the same features left out, so that both are drawn and gathered
    once per seed.

    Parameters
    ----------
    train, dev : (array of shape (n_layers, n_samples, n_dims), array of shape (n_sets, n_samples))
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
        n_sets × n_seeds probes per layer, the seeds of the first set first.
    """
    import torch

    x, y = torch.as_tensor(np.asarray(train[0], np.float32), device=device), _targets(train[1], n_labels, device)
    x_dev, y_dev = torch.as_tensor(np.asarray(dev[0], np.float32), device=device), _targets(dev[1], n_labels, device)
    n_layers, n_samples, n_dims = x.shape
    mean, scale = torch.zeros(n_layers, 1, n_dims, device=device), torch.ones(n_layers, 1, n_dims, device=device)
    if how.standardise:
        mean, scale = x.mean(1, keepdim=True), x.std(1, correction=0, keepdim=True)
        scale[scale == 0] = 1.0
    x, x_dev = (x - mean) / scale, (x_dev - mean) / scale
    n_sets, n_seeds = len(y), len(seeds)
    draws = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    bound = n_dims**-0.5  # torch's own for linear layers

    def per_seed(draw: Callable[[Any], Any]) -> Any:
        return torch.stack([draw(one) for one in draws]).to(device)  # the same whatever is trained beside

    def first(n_rows: int) -> Any:
        own = per_seed(lambda one: (torch.rand(n_rows, n_labels, generator=one) * 2 - 1) * bound)
        return own[None, :, :, None].repeat(n_layers, 1, 1, n_sets, 1).flatten(3).flatten(0, 1).requires_grad_()

    weight, bias = first(n_dims), first(1)  # (n_layers * n_seeds, n_dims or 1, n_sets * n_labels)
    n_batches = -(-n_samples // how.batch)
    more = max(-(-how.least_steps // (how.epochs * n_batches)), 1)
    n_steps = how.epochs * more * n_batches
    optimizer = torch.optim.Adam([weight, bias], lr=how.learning_rate, fused=True)
    warm = max(int(how.warm_up * n_steps), 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (n_steps - step) / max(n_steps - warm, 1))
    )

    def probes(parameter: Any) -> Any:
        """Of shape (n_layers, n_rows, n_sets * n_seeds, n_labels)."""
        own = parameter.detach().view(n_layers, n_seeds, -1, n_sets, n_labels)
        return own.permute(0, 2, 3, 1, 4).flatten(2, 3)

    dev_labels = y_dev.repeat_interleave(n_seeds, 0).T.expand(n_layers, -1, -1)
    best = torch.full((n_layers, n_sets * n_seeds), float("inf"), device=device)
    since = torch.zeros_like(best)
    kept = [probes(weight), probes(bias)]
    for _ in range(how.epochs * more):
        order = per_seed(lambda one: torch.randperm(n_samples, generator=one))
        for step in range(n_batches):
            at = order[:, step * how.batch : (step + 1) * how.batch]
            coins = per_seed(partial(_coins, (at.shape[1], n_dims), 1 - how.dropout))
            rows = x.index_select(1, at.flatten()).view(n_layers, *coins.shape)
            rows = (rows * (coins / (1 - how.dropout))).flatten(0, 1)
            told = y[:, at].movedim(0, -1).expand(n_layers, -1, -1, -1).flatten(0, 1)
            outputs = torch.baddbmm(bias, rows, weight).view(*told.shape, n_labels)
            loss = _loss(outputs, told, how).mean(1)
            optimizer.zero_grad()
            loss.sum().backward()  # the probes share nothing, so their gradients do not mix
            optimizer.step()
            schedule.step()
        of_epoch = [probes(weight), probes(bias)]
        now = _loss(_outputs(x_dev, *of_epoch), dev_labels, how).mean(1)
        better = (now < best) & (since < how.patience * more)
        since = torch.where(better, 0.0, since + 1)  # once beyond patience, a probe never comes back
        best = torch.where(better, now, best)
        kept = [torch.where(better[:, None, :, None], new, old) for new, old in zip(of_epoch, kept, strict=True)]
        if bool((since >= how.patience * more).all()):
            break
    return Trained(kept[0], kept[1], mean, scale)


def _coins(shape: tuple[int, int], chance: float, draws: Any) -> Any:
    import torch

    return torch.rand(shape, generator=draws) < chance


def _outputs(rows: Any, weight: Any, bias: Any) -> Any:
    """Of shape (n_layers, n_samples, n_probes, n_labels), all probes of a layer in one product."""
    import torch

    found = torch.baddbmm(bias.flatten(2), rows, weight.flatten(2))
    return found.view(*found.shape[:2], *weight.shape[2:])


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
    """Loss of each prediction: scores have one axis more than labels, the last, with a score per class."""
    import torch

    if scores.shape[-1] == 1:
        return torch.nn.functional.smooth_l1_loss(scores[..., 0], labels, reduction="none")
    if how.legacy:
        scores = scores.softmax(-1)
    return torch.nn.functional.cross_entropy(
        scores.reshape(-1, scores.shape[-1]), labels.reshape(-1), reduction="none"
    ).view(labels.shape)


def quality(scores: FloatArray, labels: NDArray[np.generic], n_labels: int) -> FloatArray:
    """Macro-F1 of the most likely classes, or Pearson's r of a regression; NaN where predictions are constant.

    Parameters
    ----------
    scores : array of shape (..., n_samples, n_labels)
    labels : array of shape (..., n_samples)
    n_labels : int

    Returns
    -------
    array of shape (...)
        Classes that are neither there nor predicted do not count.
    """
    if n_labels == 1:
        return _correlation(scores[..., 0], np.asarray(labels, float))
    told = scores.argmax(-1)
    classes = np.arange(n_labels)[:, None]
    is_told, is_true = told[..., None, :] == classes, labels[..., None, :] == classes
    n_either = is_told.sum(-1) + is_true.sum(-1)
    f1 = 2 * (is_told & is_true).sum(-1) / np.maximum(n_either, 1)
    return np.asarray(f1.sum(-1) / (n_either > 0).sum(-1))


def _correlation(predicted: FloatArray, numbers: FloatArray) -> FloatArray:
    constant = (np.ptp(predicted, axis=-1) == 0) | (np.ptp(numbers, axis=-1) == 0)
    a, b = (np.asarray(one, float) - np.mean(one, axis=-1, keepdims=True) for one in (predicted, numbers))
    spread = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.where(constant, np.nan, (a * b).sum(-1) / np.where(constant, 1.0, spread))
