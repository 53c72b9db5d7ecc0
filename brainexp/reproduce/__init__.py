"""Run again what a record tells of, and say what differs: ``python -m brainexp.reproduce RUN``."""
