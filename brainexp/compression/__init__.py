"""What makes a model smaller: one module per method."""

from brainexp.compression import (
    awq,
    dynamic_int8,
    fp8,
    gptq,
    layer_drop,
    low_rank,
    magnitude,
    none,
    recipe,
    rtn,
    smoothquant,
    sparsegpt,
    wanda,
)

__all__ = [
    "awq",
    "dynamic_int8",
    "fp8",
    "gptq",
    "layer_drop",
    "low_rank",
    "magnitude",
    "none",
    "recipe",
    "rtn",
    "smoothquant",
    "sparsegpt",
    "wanda",
]
