"""Text on which compressions measure what the weights are used for: one module per source."""

from brainexp.compression.calibration import grammar, hub, stories, text_file
from brainexp.compression.calibration.windows import samples_digest, windows

__all__ = ["grammar", "hub", "samples_digest", "stories", "text_file", "windows"]
