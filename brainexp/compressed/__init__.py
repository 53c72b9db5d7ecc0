"""From a model and a compression to a smaller model, which is saved, proves itself and is read again."""

from brainexp.compressed.artifact import CompressedModel, base_bytes, calibration_digest, uncompressed

__all__ = ["CompressedModel", "base_bytes", "calibration_digest", "uncompressed"]
