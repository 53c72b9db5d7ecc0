"""What is put around the stimulus before the model reads it: one module per prompt."""

from brainexp.prompt import chat, plain, task

__all__ = ["chat", "plain", "task"]
