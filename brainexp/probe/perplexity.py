"""How well does the model predict words: of held-out text, and of the stories that were heard?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from brainexp.cache import digest
from brainexp.containers import FloatArray, Likelihoods, Stimulus
from brainexp.errors import ConfigError
from brainexp.interfaces import Calibration, ProbeInput, ProbeResult
from brainexp.registry import CALIBRATIONS, PROBES
from brainexp.score.surprisal import perplexities, word_surprisal

if TYPE_CHECKING:
    import pandas as pd

#: Raise when scores of the same options change.
PROBE_VERSION = 1
#: Stories of the grammar that no dataset, training or compression reads, as those on which damage is measured.
SEED = 1_000_000
#: What is encoded: the onset of words alone, and their surprisal beside it.
ONSETS, WITH_SURPRISAL, SURPRISAL = "r_onsets", "r_both", "r"


@PROBES.register("perplexity")
@dataclass(frozen=True)
class Perplexity:
    """Perplexity of held-out text, and what the surprisal of each heard word tells of responses to it.

    Surprisal is -log2 p of a word after those before it (Hale 2001; Levy 2008), for masked models the sum of pseudo
    log-likelihoods (Salazar et al. 2020), which know later words. How well it predicts responses is told beside what the
    words' onsets predict alone: at TRs, surprisal adds up with the number of words.

    Parameters
    ----------
    text : str or None
        A .txt, .jsonl or .parquet file of held-out text; None for stories of the built-in grammar.
    words : int
        The beginning of the held-out text is read, so many words.
    window_tokens : int or None
        Tokens that are read at once; None for 512 (128 for masked models), or what the model can read.
    stride_tokens : int or None
        From one window to the next: each token is predicted from at least a window less a stride of tokens, where there are
        so many. None for half a window.
    masked_tokens : int
        Of a masked model, evenly spaced tokens of the held-out text that are predicted, a pass for each.
    stories : bool
        Whether surprisal of the stimulus' words is measured, and responses predicted from it.
    """

    needs_gradients: ClassVar[bool] = False

    text: str | None = None
    words: int = 2000
    window_tokens: int | None = None
    stride_tokens: int | None = None
    masked_tokens: int = 200
    stories: bool = True

    def __post_init__(self) -> None:
        if self.text == "":
            raise ConfigError("probe 'perplexity': text must name a file, or be null for stories of the grammar")
        if self.words < 2 or self.masked_tokens < 1:
            raise ConfigError(
                f"probe 'perplexity': words must be at least 2 and masked_tokens at least 1, got {self.words} and "
                f"{self.masked_tokens}"
            )
        for option, least in (("window_tokens", 8), ("stride_tokens", 1)):
            value = getattr(self, option)
            if value is not None and value < least:
                raise ConfigError(f"probe 'perplexity': {option} must be at least {least} or null, got {value}")

    def require_ready(self) -> None:
        """Raise ConfigError if the held-out text is not there or too short."""
        if self.text is not None:
            self._held_out()

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Score held-out text and every story; what was read before is not read again."""
        metrics = self._of_text(given)
        if not self.stories:
            return ProbeResult(metrics=metrics)
        surprisal = {one.story: self._of_story(one, given) for one in given.stimuli}
        table = _table(given.stimuli, surprisal)
        metrics["surprisal"] = float(table.surprisal.mean())
        tables = {"surprisal": table}
        if given.encode_words is not None:
            encoding = _encoding(given, surprisal)
            tables["encoding"] = encoding
            means = encoding.groupby("roi", sort=False)[[SURPRISAL, "gain"]].mean()
            for roi, row in means.iterrows():
                where = "" if roi == "all" else f"_{roi}"
                metrics |= {f"surprisal{where}_r": float(row[SURPRISAL]), f"surprisal{where}_gain": float(row["gain"])}
        return ProbeResult(metrics=metrics, tables=tables)

    def _of_text(self, given: ProbeInput) -> dict[str, float]:
        words = self._held_out()
        key = {"words": digest(words), "masked": self.masked_tokens}

        def read() -> dict[str, float]:
            model = given.language_model()
            found = model.in_windows(
                words, window=self.window_tokens, stride=self.stride_tokens, n_masked=self.masked_tokens
            )
            if model.reads != "causal":
                return {"pseudo_perplexity": math.exp(-np.nanmean(found.log_p))}
            return perplexities(-found.log_p[1:], words, found.stop.tolist())

        return dict(self._kept(given, key, read))

    def _of_story(self, story: Stimulus, given: ProbeInput) -> FloatArray:
        def read() -> list[float]:
            found: Likelihoods = given.language_model().in_windows(
                story.units, window=self.window_tokens, stride=self.stride_tokens
            )
            return [float(bits) for bits in word_surprisal(found, story.units)]

        return np.array(self._kept(given, {"units": digest(story.units)}, read), dtype=float)

    def _kept(self, given: ProbeInput, key: dict[str, Any], read: Any) -> Any:
        windows = [self.window_tokens, self.stride_tokens]
        return given.kept({"probe": ["perplexity", PROBE_VERSION], "windows": windows, **key}, read)

    def _held_out(self) -> list[str]:
        options = {"name": "grammar", "seed": SEED} if self.text is None else {"name": "text_file", "path": self.text}
        source: Calibration = CALIBRATIONS.build({**options, "samples": max(self.words // 128, 1), "tokens": 256})
        try:
            words = list(islice(chain.from_iterable(map(str.split, source.texts(()))), self.words))
        except ConfigError as error:  # named by the option that the file was given with
            told = str(error).removeprefix("calibration 'text_file': ")
            raise ConfigError(f"probe 'perplexity', held-out text: {told}") from None
        if len(words) < self.words:
            raise ConfigError(
                f"probe 'perplexity': the held-out text has {len(words):,} words, but words={self.words}. Give "
                f"probe.perplexity.words={len(words)}, or a longer text."
            )
        return words


def _table(stimuli: Sequence[Stimulus], surprisal: dict[str, FloatArray]) -> pd.DataFrame:
    import pandas as pd

    def rows() -> Iterator[dict[str, Any]]:
        for one in stimuli:
            for at, (word, bits) in enumerate(zip(one.units, surprisal[one.story].tolist(), strict=True)):
                yield {"story": one.story, "at": at, "word": word, "onset_s": one.onset_s[at], "surprisal": bits}

    return pd.DataFrame(list(rows()))


def _encoding(given: ProbeInput, surprisal: dict[str, FloatArray]) -> pd.DataFrame:
    """What surprisal predicts alone, what onsets do, and both together, per subject and ROI."""
    assert given.encode_words is not None
    ones = {story: np.ones((len(bits), 1)) for story, bits in surprisal.items()}
    # A word of which nothing is known, such as the first where no token starts a text, is as surprising as the others are.
    bits = {story: np.where(np.isfinite(own), own, np.nanmean(own))[:, None] for story, own in surprisal.items()}
    both = {story: np.hstack([ones[story], bits[story]]) for story in surprisal}
    found = given.encode_words("surprisal", bits)
    for name, what, values in ((ONSETS, "onsets", ones), (WITH_SURPRISAL, "onsets and surprisal", both)):
        other = given.encode_words(what, values).rename(columns={"r": name})
        found = found.merge(other, on=["subject", "roi"])
    return found.assign(gain=found[WITH_SURPRISAL] - found[ONSETS])
