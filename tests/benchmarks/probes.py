"""Linear probes of two layers, five seeds, true and random labels: one torch module after the other against ours."""

import numpy as np
import torch

from brainexp.probe.linear import Training, trained

N_LAYERS, N_DIMS, SEEDS = 2, 128, (0, 1, 2, 3, 4)
N_TRAIN, N_DEV = 700, 150
HOW = Training()


def probing_set():
    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(2, size=N_TRAIN + N_DEV) for _ in range(2)])
    features = rng.standard_normal((N_LAYERS, N_TRAIN + N_DEV, N_DIMS)).astype(np.float32)
    features[1, :, :5] += 0.5 * labels[0][:, None]
    train, dev = slice(N_TRAIN), slice(N_TRAIN, None)

    def peer():
        return [
            [one_module(x[train], y[train], x[dev], y[dev], seed) for y in labels for seed in SEEDS] for x in features
        ]

    def ours():
        sets = (features[:, train], labels[:, train]), (features[:, dev], labels[:, dev])
        return trained(*sets, 2, HOW, SEEDS).scores(features[:, dev])

    return "probes of one set, 2 layers × 5 seeds × 2 sets of labels", "torch, one module each", peer, ours


def one_module(x, y, x_dev, y_dev, seed):
    """Scores of dev samples by one linear layer, trained as the benchmark trains it, with the draws that ours makes."""
    draws = torch.Generator().manual_seed(seed)
    layer = torch.nn.Linear(N_DIMS, 2)
    bound = N_DIMS**-0.5
    with torch.no_grad():
        layer.weight.copy_((torch.rand(N_DIMS, 2, generator=draws).T * 2 - 1) * bound)
        layer.bias.copy_((torch.rand(2, generator=draws) * 2 - 1) * bound)
    mean, scale = x.mean(0), x.std(0)
    x, x_dev = (torch.as_tensor((each - mean) / scale) for each in (x, x_dev))
    y, y_dev = torch.as_tensor(y), torch.as_tensor(y_dev)
    optimizer = torch.optim.Adam(layer.parameters(), lr=HOW.learning_rate)
    n_steps = HOW.epochs * -(-N_TRAIN // HOW.batch)
    warm = int(HOW.warm_up * n_steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (n_steps - step) / (n_steps - warm))
    )
    best, since, kept = float("inf"), 0, None
    for _ in range(HOW.epochs):
        for at in torch.randperm(N_TRAIN, generator=draws).split(HOW.batch):
            coins = torch.rand(len(at), N_DIMS, generator=draws) < 1 - HOW.dropout
            loss = torch.nn.functional.cross_entropy(layer(x[at] * coins / (1 - HOW.dropout)), y[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            told = layer(x_dev)
            now = float(torch.nn.functional.cross_entropy(told, y_dev))
        since += 1
        if now < best:
            best, since, kept = now, 0, told.numpy()
        if since >= HOW.patience:
            break
    return kept


CASES = (probing_set,)
