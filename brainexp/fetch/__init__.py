"""Datasets from the public stores that hold them: ``python -m brainexp.fetch dataset=lebel2023 subjects=[1,2,3]``."""
