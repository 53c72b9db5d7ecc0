"""What makes a model smaller: one module per method."""

from brainexp.compression import bnb_fp4, bnb_int8, bnb_nf4, none

__all__ = ["bnb_fp4", "bnb_int8", "bnb_nf4", "none"]
