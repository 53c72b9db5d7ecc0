"""Compressions of the tests' own: honest ones in numpy, and dishonest ones, each of which claims what it does not do.

They are registered by the fixture ``members`` only, since whatever is registered owes a YAML file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from brainexp.compression.options import Compressing
from brainexp.interfaces import Claims


def chosen(blueprint):
    return tuple(name for name in blueprint.linear if name not in blueprint.head)


def each(network, names):
    """Weights of linear layers as numpy sees them, and how to write them back."""
    import torch

    modules = dict(network.named_modules())
    for name in names:
        weight = modules[name].weight

        def write(values, weight=weight):
            with torch.no_grad():
                weight.copy_(torch.from_numpy(values).to(weight.dtype))

        yield name, weight.detach().float().numpy().copy(), write


@dataclass(frozen=True)
class Rounding(Compressing):
    """Round to nearest, symmetric, in groups."""

    bits: int = 4
    group_size: int = 16
    calibration: Any = None

    def claims(self, blueprint):
        return Claims(modules=chosen(blueprint), bits=self.bits, group_size=self.group_size)

    def compress(self, given):
        network = given.network()
        most = 2 ** (self.bits - 1) - 1
        for _, values, write in each(network, chosen(given.blueprint)):
            groups = values.reshape(-1, self.group_size)
            scale = np.abs(groups).max(axis=1, keepdims=True) / most
            write((np.round(groups / scale) * scale).reshape(values.shape))
        return network


@dataclass(frozen=True)
class TooManyValues(Rounding):
    """Rounds to 2^bits + 1 values."""

    def compress(self, given):
        network = given.network()
        for at, (_, values, write) in enumerate(each(network, chosen(given.blueprint))):
            groups = values.reshape(-1, self.group_size)
            groups[:] = np.arange(self.group_size) % 2**self.bits
            if at == 1:
                groups[3] = np.arange(self.group_size) % (2**self.bits + 1)
            write(groups.reshape(values.shape))
        return network


@dataclass(frozen=True)
class Pruning(Compressing):
    """The smallest weights of each layer become zero."""

    sparsity: float = 0.5
    two_of_four: bool = False
    keep: tuple[str, ...] = ()
    told: float = 0.0
    #: Whether nothing is done at all.
    idle: ClassVar[bool] = False

    def claims(self, blueprint):
        share = self.told or self.sparsity
        return Claims(modules=chosen(blueprint), sparsity=share, in_each=True, two_of_four=self.two_of_four)

    def compress(self, given):
        network = given.network()
        names = [name for name in chosen(given.blueprint) if name not in self.keep]
        for _, values, write in each(network, [] if self.idle else names):
            flat = values.reshape(-1)
            flat[np.argsort(np.abs(flat), kind="stable")[: round(self.sparsity * flat.size)]] = 0
            write(flat.reshape(values.shape))
        return network


@dataclass(frozen=True)
class Idle(Pruning):
    """Does nothing, and says nothing of what it does."""

    idle: ClassVar[bool] = True

    def claims(self, blueprint):
        return Claims()


@dataclass(frozen=True)
class IdlePruning(Pruning):
    """Prunes nothing, but claims to."""

    idle: ClassVar[bool] = True


@dataclass(frozen=True)
class OtherOnDisk(Pruning):
    """What it saves is not what was in memory."""

    def compress(self, given):
        import torch

        network = super().compress(given)
        save = network.save_pretrained

        def other(folder):
            with torch.no_grad():
                for _, values, write in each(network, chosen(given.blueprint)):
                    write(1.5 * values)
            save(folder)

        network.save_pretrained = other
        return network


@dataclass(frozen=True)
class Crash(Pruning):
    """Ends in the middle of saving."""

    def compress(self, given):
        network = super().compress(given)
        save = network.save_pretrained

        def half(folder):
            save(folder)
            (Path(folder) / "config.json").unlink()
            raise MemoryError("no more")

        network.save_pretrained = half
        return network


@dataclass(frozen=True)
class Dropping(Compressing):
    """The last blocks go."""

    drop: int = 1
    told: int = 1

    def blocks_left(self, n_blocks):
        return n_blocks - self.told

    def compress(self, given):
        import torch

        network = given.network()
        part = network.base_model
        left = len(part.layers) - self.drop
        part.layers = torch.nn.ModuleList(list(part.layers)[:left])
        network.config.num_hidden_layers = left
        if getattr(network.config, "layer_types", None):
            network.config.layer_types = network.config.layer_types[:left]
        return network


@dataclass(frozen=True)
class LowRank(Compressing):
    """Weights of a low rank."""

    rank: int = 4
    told: int = 4

    def claims(self, blueprint):
        names = chosen(blueprint)
        return Claims(modules=names, ranks=dict.fromkeys(names, self.told))

    def compress(self, given):
        network = given.network()
        for _, values, write in each(network, chosen(given.blueprint)):
            left, scale, right = np.linalg.svd(values, full_matrices=False)
            write((left[:, : self.rank] * scale[: self.rank]) @ right[: self.rank])
        return network


@dataclass(frozen=True)
class Frozen(Rounding):
    """No gradients flow through it."""

    differentiable: ClassVar[bool] = False


MEMBERS = {
    "test_rounding": Rounding,
    "test_too_many_values": TooManyValues,
    "test_pruning": Pruning,
    "test_idle": Idle,
    "test_idle_pruning": IdlePruning,
    "test_other_on_disk": OtherOnDisk,
    "test_crash": Crash,
    "test_dropping": Dropping,
    "test_low_rank": LowRank,
    "test_frozen": Frozen,
}
