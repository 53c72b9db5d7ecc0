"""What is put around the stimulus before the model reads it: one module per prompt."""

from brainexp.prompt import plain

__all__ = ["plain"]
