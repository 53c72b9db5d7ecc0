"""The six protocols: the map of the framework.

Glossary: *stimulus* what was presented in one run · *unit* its element that gets a feature vector · *run* one recording ·
*TR* (``tr_s``, seconds) · *layer* 0 is the embedding output, n the last block · *voxel* one column of the responses (also
a vertex, a parcel, an ROI) · *ceiling* the best r that the data allow · *alignment* the score.

A component is a frozen dataclass whose fields are its options. Options that cannot change a feature (device, batch size)
carry ``field(metadata=NOT_IN_CACHE_KEY)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from brainexp.containers import (
    Design,
    Facts,
    Fitted,
    FloatArray,
    Fold,
    IntArray,
    Layers,
    Likelihoods,
    Passage,
    Responses,
    Space,
    Stimulus,
    Timing,
)

if TYPE_CHECKING:
    import pandas as pd

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
class Timed(Protocol):
    """A dataset that knows more of its clock than it declares: triggers, or TRs that headers and sidecars state."""

    def timings(self) -> Mapping[str, Timing]:
        """What is known, by story; stories of which nothing is known may be left out."""


@runtime_checkable
class Remarking(Protocol):
    """A dataset that has something to say about what was asked of it, such as stories that not all subjects heard."""

    def remarks(self) -> tuple[str, ...]:
        """What the user should know."""


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

    @property
    def arithmetic(self) -> str:
        """With what it multiplies, in words, such as "dense matrix products in float32 on cpu"; empty without a network."""

    def extract(self, stimulus: Stimulus, prompt: Prompt) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield unit indices and their features, arrays of shape (n,) and (n_layers, n, n_dims)."""

    def read(self, passages: Sequence[Passage]) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield indices of stretches, counted through all passages, and features of shape (n_layers, n, n_dims)."""

    def facts(self, stimulus: Stimulus) -> dict[str, float]:
        """What is to be told beside a story's features, numbers that add up over stories, such as unknown words."""


#: Stands in a text for the word that a model is to fill in.
BLANK = "[MASK]"


class LanguageModel(Protocol):
    """A network with its head in memory, which says how likely a text is."""

    @property
    def network(self) -> Any:
        """The torch module, with its head."""

    @property
    def tokenizer(self) -> Any:
        """A fast tokenizer of transformers."""

    @property
    def reads(self) -> Literal["causal", "bidirectional", "encoder-decoder", "table"]:
        """Which words a state may depend on."""

    def likelihoods(self, texts: Sequence[str], *, within_words: Literal["all", "left"] = "all") -> list[Likelihoods]:
        """Log-probabilities of every text's tokens, for masked models each told from all others or those to its left."""

    def in_windows(
        self,
        words: Sequence[str],
        *,
        window: int | None = None,
        stride: int | None = None,
        n_masked: int | None = None,
    ) -> Likelihoods:
        """Log-probabilities of a long text's tokens, read in windows of tokens that overlap."""

    def fillers(self, texts: Sequence[str], n_best: int) -> list[list[str] | None]:
        """The likeliest single tokens for the one `BLANK` of each text, best first; None where the model cannot see one."""

    def is_one_token(self, words: Sequence[str]) -> list[bool]:
        """Whether each word, after a space, is a single token."""


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

    def blueprint(self) -> Blueprint:
        """What it is made of, without reading weights."""

    def identity(self) -> str:
        """A digest of everything in the checkpoint that decides its features."""

    def load(self) -> LoadedModel:
        """Read the weights."""


@runtime_checkable
class Sourced(Protocol):
    """A model that can tell what its weights are, apart from the versions that read them."""

    def source(self) -> dict[str, Any]:
        """JSON-like: digest of the files, or the commit on a hub, or the seed of random weights."""


@dataclass(frozen=True)
class Blueprint:
    """What a network is made of, known from its config without reading weights.

    Parameters
    ----------
    family : str
        transformers' name of the architecture, such as "qwen2"; "table" for word vectors.
    reads : {"causal", "bidirectional", "encoder-decoder", "table"}
        Which words a state may depend on.
    n_blocks : int
        Transformer blocks (of the half that gives features).
    linear : mapping of str to (int, int)
        Outputs and inputs of every linear layer, by its name in the network with its head.
    head : tuple of str
        Those of ``linear`` that turn states into words or classes; no feature depends on them.
    quantized : str or None
        How the checkpoint is quantized already, in words, such as "gptq w4 g128" or "bitsandbytes nf4".
    device : str
        Where the network would run, such as "cpu" or "cuda".
    dtype : str
        In which it computes, such as "bfloat16".
    transposed : tuple of str
        Those of ``linear`` whose weights are stored as inputs times outputs (GPT-2).
    n_positions : int or None
        Tokens that it can read at once; None where nothing limits them.
    """

    family: str
    reads: Literal["causal", "bidirectional", "encoder-decoder", "table"]
    n_blocks: int
    linear: Mapping[str, tuple[int, int]]
    head: tuple[str, ...]
    quantized: str | None
    device: str
    dtype: str
    transposed: tuple[str, ...] = ()
    n_positions: int | None = None


@dataclass(frozen=True, eq=False)
class Uncompressed:
    """A model from which a compression makes a smaller one.

    Parameters
    ----------
    blueprint : Blueprint
        What it is made of.
    tokenizer : fast tokenizer of transformers
    samples : array of int of shape (n_samples, n_tokens)
        Token numbers to calibrate on; no rows where the method needs none.
    network : callable
        Reads the weights into memory, on the CPU, with the head and in the blueprint's dtype; takes options of
        ``from_pretrained``.
    """

    blueprint: Blueprint
    tokenizer: Any
    samples: IntArray
    network: Callable[..., Any]


@dataclass(frozen=True)
class Claims:
    """What must be true of the weights after compression; every saved checkpoint is held to it.

    Parameters
    ----------
    modules : tuple of str
        Linear layers that were changed, by name in the network with its head.
    bits : int or None
        At most two to so many distinct values in each group of weights.
    group_size : int or None
        Neighbouring inputs that share a scale; None for a whole row.
    sparsity : float or None
        Share of exact zeros over all modules together.
    in_each : bool
        Whether each module has that share, not only all together.
    ties : bool
        Whether a few weights more may be zero, one in a hundred at most: those that no score tells from the last that goes.
    two_of_four : bool
        Whether at least two of every four neighbouring inputs are zero.
    ranks : mapping of str to int
        Rank of each module's weights, where they have a low one.
    """

    modules: tuple[str, ...] = ()
    bits: int | None = None
    group_size: int | None = None
    sparsity: float | None = None
    in_each: bool = False
    ties: bool = False
    two_of_four: bool = False
    ranks: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class Calibration(Protocol):
    """Text on which a compression measures what the weights are used for."""

    @property
    def samples(self) -> int:
        """Number of stretches of text."""

    @property
    def tokens(self) -> int:
        """Length of each, in tokens."""

    @property
    def seed(self) -> int:
        """Of where the stretches begin."""

    def stories(self) -> tuple[str, ...]:
        """Stories of the study that it reads; none of them may be tested on."""

    def texts(self, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """Whole texts, from which stretches are drawn."""


@runtime_checkable
class Compression(Protocol):
    """What makes a model smaller: from a checkpoint to a smaller checkpoint."""

    @property
    def label(self) -> str:
        """What it is called in tables, with the options that decide how much is lost, such as "awq w4 g128"."""

    @property
    def calibration(self) -> Calibration | None:
        """The text it needs, or None."""

    @property
    def differentiable(self) -> bool:
        """Whether gradients flow through the compressed weights."""

    @property
    def needs_all_weights(self) -> str | None:
        """Why it cannot work on weights that stay on the disk and are read layer by layer, or None."""

    def objection(self, model: Model) -> str | None:
        """Why this compression cannot serve the model on this machine, or None; must be quick."""

    def remarks(self, blueprint: Blueprint) -> tuple[str, ...]:
        """What the user should know before it is done."""

    def blocks_left(self, n_blocks: int) -> int:
        """How many blocks remain."""

    def after(self, blueprint: Blueprint) -> Blueprint:
        """What the network is made of when it is done, for the next step of a recipe."""

    def claims(self, blueprint: Blueprint) -> Claims:
        """What will be true of the weights."""

    def bits_per_weight(self, shape: tuple[int, int], dense_bits: float) -> float:
        """Bits that a weight of a changed linear layer takes, scales and masks included.

        ``shape`` is outputs and inputs of the layer, ``dense_bits`` what a weight takes that is kept as it is.
        """

    def compress(self, given: Uncompressed) -> Any:
        """Return the network with its head, ready for ``save_pretrained``."""


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
    """Scores of one probe.

    Parameters
    ----------
    metrics : mapping of str to float
        Scalars by name.
    curves : mapping of str to list of float
        One value per layer, by name.
    tables : mapping of str to DataFrame
        Everything that was measured, by name: a row per task and layer.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, list[float]] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Encoding:
    """The run's own encoding model, to be asked again with other features of the same units.

    Units are counted through all stories. Those that a fold's training rows draw on are apart from those that its held-out
    rows draw on: a unit of both is in neither.

    Parameters
    ----------
    train_units, test_units : tuples of arrays of int
        By fold.
    score : callable
        From the number of a fold, and features of all units for each layer that the encoder takes at once, arrays of shape
        (n_units, n_dims), to r on the held-out rows, array of shape (n_voxels,); NaN where a voxel is not scored.
    groups : tuple of tuple of int
        Positions of the layers that the encoder takes at once, for every fit: one each, or all together.
    r : array of shape (n_groups, n_voxels)
        Of the model's own features, averaged over folds.
    chosen : array of int of shape (n_folds, n_voxels)
        The group that was chosen on training rows; -1 where a voxel is not scored.
    chosen_r : array of shape (n_voxels,)
        Of the model's own features there.
    regions : tuple of (str, str, array of int)
        Subject, ROI and its columns, all voxels of a subject among them.
    """

    train_units: tuple[IntArray, ...]
    test_units: tuple[IntArray, ...]
    score: Callable[[int, Sequence[FloatArray]], FloatArray]
    groups: tuple[tuple[int, ...], ...]
    r: FloatArray
    chosen: IntArray
    chosen_r: FloatArray
    regions: tuple[tuple[str, str, IntArray], ...]


@dataclass(frozen=True, eq=False)
class ProbeInput:
    """What a probe may read: the stimuli, the model's features of them, and the model itself.

    Parameters
    ----------
    stimuli : tuple of Stimulus
        Every story.
    features : mapping of str to array of shape (n_layers, n_units, n_dims)
        Of the compressed model, by story.
    rng : np.random.Generator
        The probe's own random numbers.
    read : callable
        From a name for messages and passages to the compressed model's features of their stretches, of shape (n_layers,
        n_stretches, n_dims); kept in the cache, so that probes that read the same text share them.
    layer_numbers : tuple of int
        Which layers the features are of; 0 is the embedding output.
    language_model : callable
        Reads the compressed model with its head, once; raises ModelError if it has none.
    read_untrained : callable
        As ``read``, with the model's untrained twin, uncompressed.
    kept : callable
        From a key and a function to the function's value, JSON-like, which is computed once for this model, compression
        and key, and kept on disk.
    encode_words : callable, optional
        From a name and features of every word, arrays of shape (n_units, n_dims) by story, to what the study's own encoder
        reaches with them on held-out rows: a DataFrame with columns ``subject``, ``roi`` and ``r``. None where there are no
        responses.
    encoding : callable or None
        Gives the run's own encoding model; None where nothing was encoded.
    """

    stimuli: tuple[Stimulus, ...]
    features: Mapping[str, FloatArray | Layers]
    rng: np.random.Generator
    read: Callable[[str, Sequence[Passage]], FloatArray | Layers]
    layer_numbers: tuple[int, ...]
    read_untrained: Callable[[str, Sequence[Passage]], FloatArray | Layers]
    language_model: Callable[[], LanguageModel]
    kept: Callable[[Mapping[str, Any], Callable[[], Any]], Any]
    encode_words: Callable[[str, Mapping[str, FloatArray]], pd.DataFrame] | None = None
    encoding: Callable[[], Encoding] | None = None


@runtime_checkable
class Probe(Protocol):
    """What the model still knows."""

    needs_gradients: ClassVar[bool]

    def require_ready(self) -> None:
        """Raise ConfigError or DataError if its files are not there; must be quick."""

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Score the model."""
