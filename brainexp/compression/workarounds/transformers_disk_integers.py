"""Integers that stay on the disk, such as packed weights, are taken for other ones or for floats.

transformers 5.17, reading a checkpoint of compressed-tensors with ``device_map="auto"`` so that some weights stay on the
disk: `accelerate_disk_offload` notes the dtype that a parameter was made with, not that of the file, so that packed zero
points are cut to eight bits ("Expected torch.int32 but got torch.int8, Aborting unpack."); and
`PreTrainedModel._initialize_weights` draws random values for the place holders of what stays on the disk ("expected a
floating-point or complex dtype, but got dtype=torch.int8").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Names of dtypes in safetensors files, as torch calls them.
DTYPES = {"I8": "int8", "U8": "uint8", "I16": "int16", "I32": "int32", "I64": "int64", "F8_E4M3": "float8_e4m3fn"}


@contextmanager
def integers_as_in_the_file() -> Iterator[None]:
    """Let transformers note the integers that are in the files, and draw none, inside the block."""
    import transformers

    reading: Any = transformers.modeling_utils
    networks: Any = transformers.PreTrainedModel
    index_of, initialize = reading.accelerate_disk_offload, networks._initialize_weights

    def indexed(*args: Any, **kwargs: Any) -> Any:
        from safetensors import safe_open

        index = index_of(*args, **kwargs)
        for told in index.values():
            with safe_open(told["safetensors_file"], framework="pt") as file:
                told["dtype"] = DTYPES.get(file.get_slice(told["weight_name"]).get_dtype(), told["dtype"])
        return index

    def initialized(network: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        if all(weight.is_floating_point() for weight in module.parameters(recurse=False)):
            initialize(network, module, *args, **kwargs)

    reading.accelerate_disk_offload, networks._initialize_weights = indexed, initialized
    try:
        yield
    finally:
        reading.accelerate_disk_offload, networks._initialize_weights = index_of, initialize
