"""The things that travel between stages. Each checks itself when made; what receives one trusts it."""

from brainexp.containers.arrays import FloatArray, IntArray
from brainexp.containers.facts import Facts
from brainexp.containers.features import Design, Fitted, Fold, Layers
from brainexp.containers.responses import OnDisk, Responses
from brainexp.containers.space import FSAVERAGE, Flatmap, Pycortex, Space, spread_out
from brainexp.containers.stimuli import Clock, Likelihoods, Passage, Stimulus, Timing

__all__ = [
    "FSAVERAGE",
    "Clock",
    "Design",
    "Facts",
    "Fitted",
    "Flatmap",
    "FloatArray",
    "Fold",
    "IntArray",
    "Layers",
    "Likelihoods",
    "OnDisk",
    "Passage",
    "Pycortex",
    "Responses",
    "Space",
    "Stimulus",
    "Timing",
    "spread_out",
]
