"""What makes a model smaller: one module per method."""

from brainexp.compression import (
    awq,
    bnb_fp4,
    bnb_int8,
    bnb_nf4,
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
    "bnb_fp4",
    "bnb_int8",
    "bnb_nf4",
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
