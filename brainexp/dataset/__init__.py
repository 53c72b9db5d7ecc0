"""Stimuli and brain responses: one module per dataset."""

from brainexp.dataset import alice, passage, synthetic

__all__ = ["alice", "passage", "synthetic"]
