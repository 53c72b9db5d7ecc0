"""Independent recomputation of a brain-encoding analysis of Brennan et al. (2016).

Reads the raw Praat annotation and the raw 6 mm ROI time courses, runs a sentence encoder one text window
at a time, and scores cross-validated ridge models with scikit-learn. It shares no code with the pipeline
that it checks.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import Ridge
from transformers import AutoModel, AutoTokenizer

ROIS = ["LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"]
N_TR = 362
TR_SECONDS = 2.0
FIRST_TR_SECONDS = 20.0
WINDOW_WORDS = 20
LANCZOS_LOBES = 3
DELAYS = (1, 2, 3, 4)
N_FOLDS = 5
GAP_TRS = 7
PENALTIES = 10.0 ** np.arange(1, 8)

INTERVAL = re.compile(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"')


def read_words(path: Path) -> tuple[list[str], np.ndarray]:
    """Read the spoken words of the 'word' tier of a long-format Praat TextGrid.

    Parameters
    ----------
    path : Path
        The TextGrid file.

    Returns
    -------
    words : list of str
        Marks that are neither empty nor 'sp', stripped; n_words of them.
    times : ndarray, shape (n_words,)
        Middle of each word's interval, in seconds.
    """
    tiers = re.split(r"item \[\d+\]:", path.read_text(encoding="utf-8"))
    (tier,) = [part for part in tiers if re.search(r'name = "word"', part)]
    words, times = [], []
    for xmin, xmax, text in INTERVAL.findall(tier):
        mark = text.replace('""', '"').strip()
        if mark not in ("", "sp"):
            words.append(mark)
            times.append((float(xmin) + float(xmax)) / 2)
    return words, np.array(times)


def read_responses(root: Path) -> tuple[list[str], np.ndarray]:
    """Read the ROI time courses (6 mm radius) of all subjects that are not constant.

    Parameters
    ----------
    root : Path
        Folder that holds alice_data_shared.

    Returns
    -------
    subjects : list of str
        Names such as 's18', in numeric order.
    responses : ndarray, shape (n_subjects, 362, 6)
        Signal in scanner units, one row per TR, one column per ROI.
    """
    found = {}
    for path in (root / "alice_data_shared" / "6mm").glob("s*-timecourses.txt"):
        rows = np.loadtxt(path, dtype=np.float64)
        if rows.std(axis=0).any():
            found[path.name.split("-")[0]] = rows
    subjects = sorted(found, key=lambda name: int(name[1:]))
    return subjects, np.stack([found[name] for name in subjects])


def read_sound_power(root: Path, subject: str) -> np.ndarray:
    """Read one subject's sound-power predictor; shape (362, 1), arbitrary units."""
    return np.loadtxt(root / "alice_data_shared" / f"{subject}-sndpwr.txt", dtype=np.float64)[:, None]


def word_tokens(spans: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Mark the tokens that share characters with text[start:stop].

    Parameters
    ----------
    spans : ndarray, shape (n_tokens, 2)
        First character and one past the last character of each token; special tokens are (0, 0).
    start, stop : int
        Character range of the word.

    Returns
    -------
    ndarray of bool, shape (n_tokens,)
    """
    return np.minimum(spans[:, 1], stop) > np.maximum(spans[:, 0], start)


def word_features(words: list[str], checkpoint: Path) -> np.ndarray:
    """Encode every word in the context of the words before it, one window per forward pass.

    Parameters
    ----------
    words : list of str
        The words in order, n_words of them.
    checkpoint : Path
        Folder of the model and its tokenizer.

    Returns
    -------
    ndarray of float32, shape (n_layers, n_words, n_units)
        Each hidden state (embedding output first), averaged over the last word's tokens.
    """
    tokenizer = AutoTokenizer.from_pretrained(str(checkpoint), use_fast=True)
    model = AutoModel.from_pretrained(str(checkpoint), dtype=torch.float32).eval()
    features = []
    for i in range(len(words)):
        text = " ".join(words[max(0, i + 1 - WINDOW_WORDS) : i + 1])
        encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        spans = encoded.pop("offset_mapping")[0].numpy()
        keep = torch.from_numpy(word_tokens(spans, len(text) - len(words[i]), len(text)))
        with torch.no_grad():
            hidden = model(**encoded, output_hidden_states=True).hidden_states
        features.append(torch.stack([state[0, keep].mean(dim=0) for state in hidden]).numpy())
    return np.stack(features, axis=1)


def lanczos(times: np.ndarray) -> np.ndarray:
    """Weights that take word values to TRs.

    Parameters
    ----------
    times : ndarray, shape (n_words,)
        Word times in seconds.

    Returns
    -------
    ndarray, shape (362, n_words)
        Lanczos weights (3 lobes, cut-off at the TR rate), not normalised.
    """
    centres = FIRST_TR_SECONDS + TR_SECONDS * (np.arange(N_TR) + 0.5)
    x = (centres[:, None] - times[None, :]) / TR_SECONDS
    return np.where(np.abs(x) < LANCZOS_LOBES, np.sinc(x) * np.sinc(x / LANCZOS_LOBES), 0.0)


def words_per_tr(times: np.ndarray) -> np.ndarray:
    """Count the word midpoints (seconds) inside each TR; shape (362, 1)."""
    starts = FIRST_TR_SECONDS + TR_SECONDS * np.arange(N_TR)
    inside = (times >= starts[:, None]) & (times < starts[:, None] + TR_SECONDS)
    return inside.sum(axis=1, keepdims=True).astype(np.float64)


def delayed(rows: np.ndarray) -> np.ndarray:
    """Put copies delayed by 1, 2, 3 and 4 TRs side by side, zeros (the mean) before the start.

    Parameters
    ----------
    rows : ndarray, shape (n_trs, n_columns)
        Standardised values per TR.

    Returns
    -------
    ndarray, shape (n_trs, 4 * n_columns)
    """
    return np.hstack([np.vstack([np.zeros_like(rows[:d]), rows[:-d]]) for d in DELAYS])


def block_of_row() -> np.ndarray:
    """Give the number (0 to 4) of the block of each TR; shape (362,)."""
    return np.arange(N_TR) * N_FOLDS // N_TR


def away_from(block: int) -> np.ndarray:
    """Mark the TRs outside a block and more than 7 TRs from all of its TRs; bool, shape (362,)."""
    members = np.flatnonzero(block_of_row() == block)
    return np.abs(np.arange(N_TR)[:, None] - members[None, :]).min(axis=1) > GAP_TRS


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson r of matching columns; both (n_trs, n_targets), result (n_targets,)."""
    a = a - a.mean(axis=0)
    b = b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def inner_scores(x: np.ndarray, y: np.ndarray, fold: int) -> np.ndarray:
    """Validation r of every penalty, averaged over the four inner folds of an outer fold.

    Parameters
    ----------
    x : ndarray, shape (362, n_columns)
        Predictors, standardised by the training rows of the outer fold.
    y : ndarray, shape (362, n_targets)
        Responses.
    fold : int
        The block held out for the test.

    Returns
    -------
    ndarray, shape (7, n_targets)
        Mean Pearson r per penalty.
    """
    train, block = away_from(fold), block_of_row()
    scores = []
    for other in [b for b in range(N_FOLDS) if b != fold]:
        fit, held = train & away_from(other), train & (block == other)
        models = [Ridge(alpha=alpha, solver="cholesky").fit(x[fit], y[fit]) for alpha in PENALTIES]
        scores.append([correlation(model.predict(x[held]), y[held]) for model in models])
    return np.mean(scores, axis=0)


def score_fold(x: np.ndarray, y: np.ndarray, fold: int, delay: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose each target's penalty inside the training rows, refit, and test on the held-out block.

    Parameters
    ----------
    x : ndarray, shape (362, n_columns)
        Raw predictors.
    y : ndarray, shape (362, n_targets)
        Responses.
    fold : int
        The block held out for the test.
    delay : bool
        Whether standardised predictors are delayed.

    Returns
    -------
    test_r, validation_r, penalty : ndarray, each of shape (n_targets,)
    """
    train, test = away_from(fold), block_of_row() == fold
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    x = delayed(x) if delay else x
    scores = inner_scores(x, y, fold)
    penalty = PENALTIES[scores.argmax(axis=0)]
    model = Ridge(alpha=penalty, solver="svd").fit(x[train], y[train])
    predicted = model.predict(x[test]).reshape(-1, y.shape[1])
    return correlation(predicted, y[test]), scores.max(axis=0), penalty


def score(x: np.ndarray, y: np.ndarray, delay: bool = True) -> np.ndarray:
    """Score one set of predictors on all folds.

    Parameters
    ----------
    x : ndarray, shape (362, n_columns)
        Raw predictors.
    y : ndarray, shape (362, n_targets)
        Responses.
    delay : bool
        Whether responses depend on earlier TRs of the predictors.

    Returns
    -------
    ndarray, shape (3, 5, n_targets)
        Test r, validation r and chosen penalty, per fold.
    """
    return np.stack([score_fold(x, y, fold, delay) for fold in range(N_FOLDS)], axis=1)


def reference(root: Path, checkpoint: Path) -> dict[str, np.ndarray | list[str]]:
    """Run the whole analysis from the raw files.

    Parameters
    ----------
    root : Path
        Folder that holds alice_data_shared and alice_stim_shared.
    checkpoint : Path
        Folder of the sentence encoder (all-MiniLM-L6-v2).

    Returns
    -------
    dict
        subjects, list of 27 str; rois, list of 6 str; r, (27, 6), test r at each fold's chosen layer;
        r_by_layer, (7, 27, 6); layer, (5,), chosen per fold (0 is the embedding output); penalty,
        (5, 27, 6), at the chosen layer; validation_r_by_layer, (7,), averaged over folds and targets;
        word_rate_r and sound_power_r, (27, 6); features, (7, n_words, 384) float32. All r are Pearson r
        averaged over the five folds.
    """
    (grid,) = (root / "alice_stim_shared").glob("*.TextGrid")
    words, times = read_words(grid)
    subjects, responses = read_responses(root)
    shape = (len(subjects), len(ROIS))
    stacked = responses.transpose(1, 0, 2).reshape(N_TR, -1)

    features = word_features(words, checkpoint)
    weights = lanczos(times)
    results = np.stack([score(weights @ layer.astype(np.float64), stacked) for layer in features])
    test_r, validation_r, penalty = results.transpose(1, 0, 2, 3)  # each (layer, fold, target)
    layer = validation_r.mean(axis=2).argmax(axis=0)
    folds = np.arange(N_FOLDS)

    word_rate = score(words_per_tr(times), stacked)[0].mean(axis=0)
    powers = [read_sound_power(root, name) for name in subjects]
    sound_power = [score(power, y, delay=False)[0].mean(axis=0) for power, y in zip(powers, responses, strict=True)]
    return {
        "subjects": subjects,
        "rois": list(ROIS),
        "r": test_r[layer, folds].mean(axis=0).reshape(shape),
        "r_by_layer": test_r.mean(axis=1).reshape(-1, *shape),
        "layer": layer,
        "penalty": penalty[layer, folds].reshape(-1, *shape),
        "validation_r_by_layer": validation_r.mean(axis=(1, 2)),
        "word_rate_r": word_rate.reshape(shape),
        "sound_power_r": np.stack(sound_power),
        "features": features,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder with alice_data_shared and alice_stim_shared")
    parser.add_argument("checkpoint", type=Path, help="folder of the sentence encoder")
    arguments = parser.parse_args()
    out = reference(arguments.root, arguments.checkpoint)
    n_subjects = len(out["subjects"])
    print(f"{n_subjects} subjects, {out['features'].shape[1]} words, layer per fold {out['layer']}")
    for name in ("r", "word_rate_r", "sound_power_r"):
        means, errors = out[name].mean(axis=0), out[name].std(axis=0, ddof=1) / np.sqrt(n_subjects)
        cells = [f"{roi} {m:.4f}+-{e:.4f}" for roi, m, e in zip(out["rois"], means, errors, strict=True)]
        print(f"{name:14s} mean {out[name].mean():.4f}  " + "  ".join(cells))
    print("test r by layer      ", out["r_by_layer"].mean(axis=(1, 2)).round(4))
    print("validation r by layer", out["validation_r_by_layer"].round(4))
