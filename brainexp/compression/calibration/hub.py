"""Text from a dataset of the Hugging Face hub."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainexp.compression.calibration.options import Sampling
from brainexp.containers import Stimulus
from brainexp.errors import ConfigError
from brainexp.registry import CALIBRATIONS, did_you_mean

#: Characters that are read for each token that is drawn: about four times what a token takes in English.
CHARACTERS_PER_TOKEN = 16
#: Documents among which the order is drawn while they come in.
SHUFFLED = 1_000


@CALIBRATIONS.register("hub")
@dataclass(frozen=True, kw_only=True)
class HubText(Sampling):
    """Documents of a dataset on the hub, in an order that ``seed`` draws; read as they come in, or from the local cache.

    Parameters
    ----------
    dataset : str
        Its id, such as "Salesforce/wikitext", or a folder.
    config : str or None
        Which of its configurations, such as "wikitext-2-raw-v1"; None where it has one.
    split : str
        Such as "train".
    field : str
        Column of the text.
    revision : str or None
        Branch, tag or commit; a commit makes a run repeatable.
    samples, tokens, seed
        See `Sampling`.
    """

    dataset: str
    config: str | None = None
    split: str = "train"
    field: str = "text"
    revision: str | None = None

    def texts(self, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """Read documents until there is enough.

        Raises
        ------
        ConfigError
            If the dataset is not to be had, or has no such field.
        """
        enough = CHARACTERS_PER_TOKEN * self.samples * self.tokens
        found: list[str] = []
        for document in self._documents():
            if self.field not in document:
                raise ConfigError(f"{self._named} has no column {self.field!r}.{did_you_mean(self.field, document)}")
            text = document[self.field]
            if not isinstance(text, str):
                raise ConfigError(
                    f"{self._named}: column {self.field!r} holds no text but {type(text).__name__}. Give another field."
                )
            if text.strip():
                found.append(text)
                enough -= len(text)
            if enough <= 0:
                break
        if not found:
            raise ConfigError(f"{self._named} has no text in column {self.field!r}. Give another split or field.")
        return tuple(found)

    @property
    def _named(self) -> str:
        return f"calibration 'hub': dataset {self.dataset!r}"

    def _documents(self) -> Iterable[dict[str, Any]]:
        if importlib.util.find_spec("datasets") is None:
            raise ConfigError(
                "calibration 'hub' needs the package datasets, which is not installed. Install it: "
                "pip install brainexp[compress]"
            )
        import datasets

        here = Path(self.dataset).expanduser()
        streamed = here.is_dir() or not datasets.config.HF_HUB_OFFLINE  # without a network only the cache is left
        try:
            found = datasets.load_dataset(
                str(here) if here.is_dir() else self.dataset,
                self.config,
                split=self.split,
                revision=self.revision,
                streaming=streamed,
            )
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self._named} (config {self.config}, split {self.split}) could not be read: "
                f"{str(error).strip().splitlines()[0]} Correct the names; without a network set HF_HOME to a cache that "
                "holds it, or give compression.calibration=text_file or grammar."
            ) from error
        if streamed:
            shuffled: Iterable[dict[str, Any]] = found.shuffle(seed=self.seed, buffer_size=SHUFFLED)
            return shuffled
        return found.shuffle(seed=self.seed, keep_in_memory=True)  # type: ignore[no-any-return]
