"""From a model and a compression to a smaller model, which is saved, proves itself and is read again."""

from brainexp.compressed.artifact import HELD, CompressedModel, base_bytes, calibration_digest, fits, uncompressed

__all__ = ["HELD", "CompressedModel", "base_bytes", "calibration_digest", "fits", "uncompressed"]
