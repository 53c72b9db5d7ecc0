"""Can the number of letters of a word be read from its features, layer by layer?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from brainexp.align.fold import folds_of_blocks
from brainexp.containers import FloatArray
from brainexp.errors import ConfigError
from brainexp.interfaces import ProbeInput, ProbeResult
from brainexp.registry import PROBES
from brainexp.score.correlation import pearson_r


@PROBES.register("word_length")
@dataclass(frozen=True)
class WordLength:
    """Linear probe for a surface property, scored on held-out stretches of the same stories.

    A model that loses it has lost its input; a control beside the linguistic probes (Conneau et al. 2018 probe sentence
    length in the same spirit).

    Parameters
    ----------
    folds : int
        Contiguous blocks per story, each held out once.
    penalty : float
        Ridge penalty on standardised features.
    gap_words : int
        Words beside a held-out block that are not trained on; at least the context that a feature draws on.
    """

    needs_gradients: ClassVar[bool] = False

    folds: int = 3
    penalty: float = 100.0
    gap_words: int = 20

    def __post_init__(self) -> None:
        if self.penalty <= 0:
            raise ConfigError(f"probe 'word_length': penalty must be positive, got {self.penalty}")
        if self.gap_words < 0:
            raise ConfigError(f"probe 'word_length': gap_words must not be negative, got {self.gap_words}")

    def require_ready(self) -> None:
        """Nothing but the stories is needed."""

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Return held-out r per layer as a curve, of the last layer, and the mean over layers.

        Not of the best layer: that would be chosen on the rows that are scored.
        """
        letters = [[sum(map(str.isalnum, word)) for word in stimulus.units] for stimulus in given.stimuli]
        target = np.concatenate([np.array(story, dtype=float) for story in letters])[:, None]
        n_layers = next(iter(given.features.values())).shape[0]
        lengths = [len(story) for story in letters]
        curve = []
        for layer in range(n_layers):
            features = np.concatenate([given.features[stimulus.story][layer] for stimulus in given.stimuli])
            curve.append(self._held_out_r(features, target, lengths))
        return ProbeResult(metrics={"r_last": curve[-1], "r_mean": float(np.mean(curve))}, curves={"r": curve})

    def _held_out_r(self, features: FloatArray, target: FloatArray, lengths: list[int]) -> float:
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        scores = []
        for fold in folds_of_blocks(lengths, self.folds, self.gap_words):
            probe = make_pipeline(StandardScaler(), Ridge(alpha=self.penalty))
            probe.fit(features[fold.train], target[fold.train])
            guess = probe.predict(features[fold.test]).reshape(-1, 1)
            scores.append(pearson_r(target[fold.test], guess)[0])
        return float(np.mean(scores))
