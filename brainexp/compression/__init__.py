"""What makes a model smaller: one module per method."""

from brainexp.compression import none

__all__ = ["none"]
