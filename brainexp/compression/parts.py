"""Networks larger than memory: weights stay on the disk and are read where they are used, one layer at a time."""

from __future__ import annotations

import ctypes
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from brainexp.compression.workarounds.transformers_disk_integers import integers_as_in_the_file
from brainexp.progress import bars_on_terminals_only

#: Most bytes of a file of weights, as a share of what may be in memory.
SHARD = 0.25
#: Number of glibc's option: from how many bytes on memory is taken from the system and given back to it.
M_MMAP_THRESHOLD = -3


def on_disk(network: Any) -> bool:
    """Whether any weights of a network stay on the disk, held by compressed-tensors."""
    if "compressed_tensors" not in sys.modules:
        return False
    from compressed_tensors.offload.cache import DiskCache

    return any(isinstance(module._parameters, DiskCache) for module in network.modules())


def change(layer: Any, values: Any) -> None:
    """Give a layer other weights, wherever it keeps them.

    Parameters
    ----------
    layer : torch.nn.Module
    values : torch.Tensor
        Of the weights' shape.
    """
    import torch

    if "compressed_tensors" in sys.modules:
        from compressed_tensors.offload import update_offload_parameter

        update_offload_parameter(layer, "weight", values)
        return
    with torch.no_grad():
        layer.weight.copy_(values)


@dataclass(frozen=True)
class Parts:
    """Reads networks of which only a part is in memory; the rest is on the disk, in a folder that is emptied each time.

    Parameters
    ----------
    folder : Path
        Where changed weights go; those that are as they were stay in their checkpoint.
    most_bytes : int
        Of weights that are in memory all the time.
    device : str
        Where layers are moved when they are used.
    """

    folder: Path
    most_bytes: int
    device: str

    def read(self, network: Callable[..., Any], **options: Any) -> Any:
        """Return a network; the one that was read before is of no use any more.

        Parameters
        ----------
        network : callable
            Takes options of ``from_pretrained``.
        **options
            Handed on.
        """
        self.clear()
        from compressed_tensors.offload import from_accelerate, set_onload_device

        self.folder.mkdir(parents=True, exist_ok=True)
        with integers_as_in_the_file(), bars_on_terminals_only():
            made = network(
                device_map="auto",
                max_memory={"cpu": self.most_bytes},
                offload_folder=str(self.folder),
                offload_buffers=True,
                **options,
            )
            from_accelerate(made)
        return set_onload_device(made, self.device)

    def clear(self) -> None:
        """Delete what is in the folder, and compressed-tensors' notes of it."""
        from compressed_tensors.offload.cache import DiskCache

        inside = [one for one, told in DiskCache.index.items() if self.folder in Path(told["safetensors_file"]).parents]
        for one in inside:
            del DiskCache.index[one]
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def parts(beside: Path, most_bytes: int, device: str) -> Iterator[Parts]:
    """Read networks in parts inside the block.

    Parameters
    ----------
    beside : Path
        Folder on the disk that has room for the weights.
    most_bytes, device
        As of `Parts`.
    """
    with TemporaryDirectory(dir=beside, prefix=".parts-") as folder, _memory_given_back():
        made = Parts(Path(folder).resolve() / "weights", most_bytes, device)
        try:
            yield made
        finally:
            made.clear()


@contextmanager
def _memory_given_back() -> Iterator[None]:
    """Let freed tensors go back to the system inside the block, where the C library is glibc.

    It learns from the first large tensors to keep all below 32 MB in its heap, where small ones that stay come to lie
    between them, so that after some hundred layers as much is held as if nothing had been freed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**18)
    try:
        yield
    finally:
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, 2**25)  # what it would have learned


def save(network: Any, folder: Path, most_bytes: float | None = None) -> None:
    """Save a network as transformers does, in files of which each fits into memory.

    Parameters
    ----------
    network : transformers.PreTrainedModel
    folder : Path
        Where it goes.
    most_bytes : float or None
        That may be in memory; None for files as large as transformers makes them.
    """
    sizes = {} if most_bytes is None else {"max_shard_size": max(int(most_bytes * SHARD), 1)}
    with warnings.catch_warnings():  # that weights which are not in memory must fit there, file by file
        warnings.filterwarnings("ignore", "Attempting to save a model with offloaded modules", UserWarning)
        if on_disk(network) and "save_pretrained" not in vars(network):  # llm-compressor's own does this itself
            from compressed_tensors.offload import to_accelerate

            to_accelerate(network)
        network.save_pretrained(folder, **sizes)
