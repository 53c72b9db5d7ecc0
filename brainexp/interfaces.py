"""The six protocols: the map of the framework.

Glossary: *stimulus* what was presented in one run · *unit* its element that gets a feature vector · *run* one recording ·
*TR* (``tr_s``, seconds) · *layer* 0 is the embedding output, n the last block · *voxel* one column of the responses (also
a vertex, a parcel, an ROI) · *ceiling* the best r that the data allow · *alignment* the score.

A component is a frozen dataclass whose fields are its options. Options that cannot change a feature (device, batch size)
carry ``field(metadata=NOT_IN_CACHE_KEY)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from brainexp.containers import Design, Facts, Fitted, FloatArray, Fold, IntArray, Layers, Responses, Space, Stimulus

NOT_IN_CACHE_KEY: Mapping[str, bool] = {"in_cache_key": False}


@runtime_checkable
class Dataset(Protocol):
    """Stimuli and the brain responses to them."""

    @property
    def trim_start_s(self) -> float:
        """Seconds cut from the start of every run, of features and responses alike."""

    @property
    def trim_stop_s(self) -> float:
        """Seconds cut from the end of every run, of features and responses alike."""

    def facts(self) -> Facts:
        """What a correct copy holds."""

    def chosen_subjects(self) -> tuple[str, ...]:
        """The subjects that the config asks for, checked."""

    def stimuli(self) -> tuple[Stimulus, ...]:
        """Every story, in the order of the runs."""

    def responses(self, subject: str) -> tuple[Responses, ...]:
        """One recording per story, in the order of the stimuli."""

    def ceiling(self, subject: str) -> FloatArray:
        """Best r that each voxel's noise allows, array of shape (n_voxels,); NaN where unknown."""

    def space(self, subject: str) -> Space:
        """How the columns of a subject's responses sit in the brain."""


@runtime_checkable
class Repeated(Protocol):
    """A dataset in which some story was presented several times: the source of ceilings from repeats."""

    def repeats(self, subject: str) -> Mapping[str, FloatArray]:
        """All recordings of repeated stories, by story, arrays of shape (n_repeats, n_trs, n_voxels), untrimmed."""


@runtime_checkable
class SignalToNoise(Protocol):
    """A dataset that publishes the ratio of signal to noise of each voxel, as the Natural Scenes Dataset does."""

    def ncsnr(self, subject: str) -> FloatArray:
        """Standard deviation of the signal over that of the noise of one recording, array of shape (n_voxels,)."""


class RunWise(Protocol):
    """What is done to the responses of whole runs before the analysis."""

    @property
    def crosses_rows(self) -> tuple[str, ...]:
        """Steps that are fitted to all rows of a run, by their options."""


@runtime_checkable
class Cleaned(Protocol):
    """A dataset whose responses are cleaned beforehand, each run for itself."""

    @property
    def cleaning(self) -> RunWise:
        """How."""


@dataclass(frozen=True)
class RenderedText:
    """A text as the model sees it, and where the stimulus' words begin in it (a character offset)."""

    text: str
    start: int


@dataclass(frozen=True)
class Frame:
    """What stands around the words of the stimulus, for one tokenizer, and what becomes of it.

    Parameters
    ----------
    before, after : str
        Text around the words.
    special_tokens : bool
        Whether the tokenizer adds its own; a chat template has written them into the text.
    reads : {"stimulus", "last", "generated"}
        Which states are a unit's features: those of its own tokens, that of the last token of the text, or the mean over
        what the model answers.
    max_new_tokens : int
        Longest answer, for "generated".
    """

    before: str = ""
    after: str = ""
    special_tokens: bool = True
    reads: Literal["stimulus", "last", "generated"] = "stimulus"
    max_new_tokens: int = 0

    def render(self, words: str) -> RenderedText:
        """Put the words of the stimulus into their place."""
        return RenderedText(text=f"{self.before}{words}{self.after}", start=len(self.before))


@runtime_checkable
class Prompt(Protocol):
    """What is put around the words of the stimulus before the model reads them."""

    def around(self, tokenizer: Any) -> Frame:
        """The same for every text; raises ModelError if the tokenizer lacks what the prompt needs."""


class LoadedModel(Protocol):
    """A network in memory, with its tokenizer."""

    @property
    def network(self) -> Any:
        """The torch module; None for a table of words."""

    @property
    def n_layers(self) -> int:
        """Number of layers including the embedding output."""

    @property
    def n_dims(self) -> int:
        """Width of a layer."""

    def extract(self, stimulus: Stimulus, prompt: Prompt) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield unit indices and their features, arrays of shape (n,) and (n_layers, n, n_dims)."""

    def facts(self, stimulus: Stimulus) -> dict[str, float]:
        """What is to be told beside a story's features, numbers that add up over stories, such as unknown words."""


@dataclass(frozen=True)
class ModelSize:
    """What a model takes, known before its weights are read.

    Parameters
    ----------
    n_bytes : float
        Of the weights in memory.
    multiplications_per_unit : float
        To read one unit in its context.
    """

    n_bytes: float
    multiplications_per_unit: float


@runtime_checkable
class Model(Protocol):
    """A language model by name, not yet in memory."""

    @property
    def weights(self) -> Literal["pretrained", "random"]:
        """Trained weights, or the untrained twin of the same architecture."""

    def require_ready(self) -> None:
        """Raise ModelError if weights or hardware are not there; must be quick."""

    def size(self) -> ModelSize:
        """What it takes; must not read weights."""

    def objection(self, compression: Compression, prompt: Prompt) -> str | None:
        """Why it cannot be compressed or prompted so, or None; must be quick."""

    def shape(self) -> tuple[int, int]:
        """Layers and width of its features, known without reading the weights."""

    def layer_numbers(self) -> tuple[int, ...]:
        """Which layers its features are of, without reading weights; 0 is the embedding output."""

    def identity(self) -> str:
        """A digest of everything in the checkpoint that decides its features."""

    def load(self) -> LoadedModel:
        """Read the weights."""


@runtime_checkable
class Compression(Protocol):
    """What makes a loaded model smaller."""

    def objection(self, model: Model) -> str | None:
        """Why this compression cannot serve the model, or None."""

    def compress(self, model: LoadedModel) -> LoadedModel:
        """The compressed model; the one handed in is not used afterwards."""


@runtime_checkable
class Encoder(Protocol):
    """From features to responses."""

    @property
    def nuisance(self) -> tuple[str, ...]:
        """Regressors of the dataset to remove from the responses, with weights of the training rows."""

    @property
    def beside(self) -> tuple[str, ...]:
        """Feature spaces that stand beside the model's as further bands, by the names of baselines."""

    @property
    def together(self) -> bool:
        """Whether it takes all layers at once, as bands, rather than one after the other."""

    def objection(self) -> str | None:
        """Why this encoder cannot work on this machine, or None."""

    def fit(self, bands: Sequence[Design], responses: FloatArray, subject: IntArray, fold: Fold) -> Fitted:
        """Learn from a fold's training rows and predict its held-out rows.

        Features are of all rows; ``responses``, array of shape (n_train, n_voxels), are of training rows only, so that
        nothing can be learned from held-out ones. ``subject`` of shape (n_voxels,) says whose column each is.
        """

    def remarks(self, penalty: FloatArray) -> tuple[str, ...]:
        """What the user should know about the chosen penalties, array of any shape."""


@dataclass(frozen=True)
class ProbeResult:
    """Scores of one probe: scalars by name, and curves over layers by name (lists indexed by layer)."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ProbeInput:
    """What a probe may read: the stimuli and the model's features of them, by story.

    ``features`` maps a story to its layers, of shape (n_layers, n_units, n_dims).
    """

    stimuli: tuple[Stimulus, ...]
    features: Mapping[str, FloatArray | Layers]
    rng: np.random.Generator


@runtime_checkable
class Probe(Protocol):
    """What the model still knows."""

    needs_gradients: ClassVar[bool]

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Score the model."""
