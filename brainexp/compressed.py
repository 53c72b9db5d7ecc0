"""From a model and a compression to a smaller model, which is saved, proves itself and is read again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainexp.compression.calibration import windows
from brainexp.containers import IntArray, Stimulus
from brainexp.errors import ModelError
from brainexp.interfaces import Compression, LanguageModel, LoadedModel, Model, Uncompressed


def uncompressed(model: Model, compression: Compression, stimuli: Sequence[Stimulus]) -> Uncompressed:
    """Return what a compression works on; weights are read when it asks for them.

    Parameters
    ----------
    model : Model
        Full precision, a network.
    compression : Compression
        Says what text it needs.
    stimuli : sequence of Stimulus
        Stories of the study, for calibrations that read them.
    """
    from brainexp.model.transformer import Transformer

    assert isinstance(model, Transformer)  # compressions object to all others
    tokenizer = model.tokenizer()
    samples: IntArray = np.empty((0, 0), np.intp)
    text = compression.calibration
    if text is not None:
        samples = windows(text.texts(stimuli), tokenizer, text.samples, text.tokens, text.seed)
    return Uncompressed(model.blueprint(), tokenizer, samples, model.network_with_head)


def loaded(model: Model, compression: Compression, stimuli: Sequence[Stimulus]) -> LoadedModel:
    """Read the compressed model."""
    from brainexp.compression.none import NoCompression

    if isinstance(compression, NoCompression):
        return model.load()
    raise NotImplementedError


def language_model(model: Model, compression: Compression, stimuli: Sequence[Stimulus]) -> LanguageModel:
    """Read the compressed model with its head."""
    from brainexp.model.transformer import Transformer

    if not isinstance(model, Transformer):
        raise ModelError(
            "a table of words has no head that tells how likely a text is. Give another model, or leave this probe out."
        )
    return model.language_model()
