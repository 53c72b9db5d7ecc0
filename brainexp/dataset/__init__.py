"""Stimuli and brain responses: one module per dataset."""

from brainexp.dataset import alice, passage

__all__ = ["alice", "passage"]
