"""Language models: one module per way of getting features out of one."""

from brainexp.model import transformer

__all__ = ["transformer"]
