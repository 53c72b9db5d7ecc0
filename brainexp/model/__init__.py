"""Language models: one module per way of getting features out of one."""

from brainexp.model import static_vectors, transformer

__all__ = ["static_vectors", "transformer"]
