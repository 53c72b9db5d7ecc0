"""Text on which compressions measure what the weights are used for: one module per source."""

from brainexp.compression.calibration import grammar
from brainexp.compression.calibration.windows import windows

__all__ = ["grammar", "windows"]
