"""What makes a model smaller: one module per method."""

from brainexp.compression import awq, dynamic_int8, fp8, gptq, none, rtn, smoothquant

__all__ = ["awq", "dynamic_int8", "fp8", "gptq", "none", "rtn", "smoothquant"]
