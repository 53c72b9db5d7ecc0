"""Studies as their jobs leave them, with numbers of our own: no model is run."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from brainexp.containers import Space
from brainexp.report.spaces import save_spaces
from brainexp.result import SCORE_COLUMNS

SUBJECTS = tuple(f"s{number}" for number in range(1, 8))
ROIS = ("A1", "IFG", "all")
#: r of each model by size, over all voxels.
SIZES = {"tiny-1M": 1e6, "tiny-3M": 3e6, "tiny-10M": 1e7, "tiny-30M": 3e7}
LEVELS = {"tiny-1M": 0.10, "tiny-3M": 0.16, "tiny-10M": 0.185, "tiny-30M": 0.195}
BITS = {"none": 32.0, "rtn": 4.25, "magnitude": 17.0}
N_VOXELS = 12
PERSON = np.random.default_rng(1).normal(0.0, 0.02, len(SUBJECTS))


def space_of(kind="rois"):
    if kind == "unplaced":
        return Space(kind="unplaced", n_voxels=N_VOXELS, rois={})
    if kind == "fsaverage5":
        return Space(kind="surface", n_voxels=2 * 10242, rois={}, mesh="fsaverage5")
    places = np.random.default_rng(0).normal(0, 30, (N_VOXELS, 3))
    return Space(kind="rois", n_voxels=N_VOXELS, rois={}, coordinates_mm=places)


def scores_of(level, subjects, rng, n_layers, own_layer):
    rows = []
    for source in ("model", "untrained"):
        for layer in (*range(n_layers), pd.NA):
            depth = own_layer if layer is pd.NA else layer
            base = level - 0.01 * abs(depth - 1) if source == "model" else 0.02
            for roi, shift in zip(ROIS, (0.05, -0.02, 0.0), strict=True):
                for who in subjects:
                    r = base + shift + PERSON[SUBJECTS.index(who)] + rng.normal(0, 0.002)
                    rows.append((source, who, layer, roi, 5, 5, r, r / 0.5, 0.0, r, 0.5, 5, r / 0.5, 0.01, 0.48, 0.52))
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype({"layer": "Int64"})


def metrics_of(scores, model, method, own_layer):
    from brainexp.result import alignment_metrics

    bits = BITS.get(method, 32.0)
    size = SIZES[model]
    return {
        **alignment_metrics(scores),
        "alignment/r_norm_low": 0.1, "alignment/r_norm_high": 0.5, "layer/chosen": float(own_layer),
        "layer/chosen_min": 0.0, "layer/chosen_max": 2.0, "compression/parameters": size, "compression/bits_per_weight": bits,
        "compression/bytes": size * 4, "compression/disk_bytes": size * bits / 8, "compression/perplexity": 5.0,
        "features/tokens_per_second": 1000.0, "time/encode_s": 2.0, "memory/peak_bytes": 1e9,
    }  # fmt: skip


def probes_of(loss):
    """Five probing sets in two competences, above a floor of one half."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(8):
        competence = ("syntax", "semantics")[number % 2]
        for control, score in (("none", 0.9 - loss + rng.normal(0, 0.005)), ("random_labels", 0.5)):
            rows += [(f"set{number}", competence, "", 1, seed, "test", control, score) for seed in (0, 1)]
    columns = ["task", "competence", "phenomenon", "layer", "seed", "split", "control", "score"]
    return pd.DataFrame(rows, columns=columns)


def leave(
    job,
    model,
    method="none",
    loss=0.0,
    subjects=SUBJECTS,
    seed=0,
    asked=None,
    probes=None,
    kind="unplaced",
    n_layers=3,
    own_layer=1,
    **config,
):
    """Leave what a finished job leaves in a folder."""
    job.mkdir(parents=True)
    rng = np.random.default_rng([seed, len(method), int(SIZES[model])])
    scores = scores_of(LEVELS[model] - loss, subjects, rng, n_layers, own_layer)
    scores.to_parquet(job / "scores.parquet")
    space = space_of(kind)
    voxel_rng = np.random.default_rng([seed + 1, len(method), int(SIZES[model])])
    n_known = N_VOXELS
    r = np.full((len(subjects), space.n_voxels), np.nan)
    persons = PERSON[[SUBJECTS.index(who) for who in subjects]]
    r[:, :n_known] = LEVELS[model] - loss + persons[:, None] + voxel_rng.normal(0, 0.01, (len(subjects), n_known))
    owner = np.repeat(np.array(subjects), space.n_voxels)
    np.savez(job / "voxels.npz", subject=owner, r=r.ravel(), ceiling=np.full(r.size, 0.5), r_norm=r.ravel() / 0.5)
    save_spaces(dict.fromkeys(subjects, space), job / "spaces.npz")
    if probes is not None:
        probes_of(probes).to_parquet(job / "probe_holmes_scores.parquet")
    record = {
        "name": f"{model.replace('-', '_')}-{method}-made",
        "config": {
            "dataset": {"name": "made", "subjects": asked or "all"}, "model": {"path": f"made/{model}"}, "compression": {"name": method},
            "split": {"by": "auto", "folds": 5, "gap_trs": None, "layer_choice": "model"}, "align": {"downsample": "mean", "delays": [1]},
            "scoring": {"equivalence_margin": 0.01}, "encoder": {"name": "ridge", "nuisance": []}, "seed": 0,
            "probe": {"holmes": {"name": "holmes"}} if probes is not None else {}, **config,
        },
        "metrics": metrics_of(scores, model, method, own_layer),
        "subjects": list(subjects), "layers": list(range(n_layers)), "remarks": [], "compression": method, "curves": {},
        "environment": {"brainexp": "0", "git_commit": "abc", "command": []},
    }  # fmt: skip
    (job / "result.json").write_text(json.dumps(record))


def launch(folder, sweep, n_jobs=None, study="made"):
    """Leave what the launch of a sweep leaves: Hydra's record and its own."""
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    hydra = {
        "sweeper": {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "params": sweep},
        "overrides": {"task": [f"+study={study}"]},
    }
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": hydra}, sort_keys=False))
    told = {"study": study, "title": "Sizes & <bits>", "question": "Does r fall?", "run_id": None, "overrides": []}
    (folder / "sweep.json").write_text(json.dumps(told))


@pytest.fixture(scope="session")
def grid(tmp_path_factory):
    """Four sizes × none and rtn, the largest magnitude too; two cells failed, one was never started."""
    folder = tmp_path_factory.mktemp("studies") / "made" / "2026-01-01_00-00-00"
    launch(folder, {"model": ",".join(SIZES), "compression": "none,rtn,magnitude"})
    for number, model in enumerate(SIZES):
        leave(folder / str(3 * number), model, probes=0.0, kind="rois")
        if model != "tiny-3M":
            leave(folder / str(3 * number + 1), model, "rtn", loss=0.001, seed=1, probes=0.2, kind="rois")
    (folder / "4").mkdir()
    failed = {"name": "x", "error": "ConfigError: group_size=128 does not divide 64", "trace": "", "overrides": []}
    (folder / "4" / "failed.json").write_text(json.dumps(failed))
    (folder / "5").mkdir()  # killed
    leave(folder / "11", "tiny-30M", "magnitude", loss=0.05, seed=2, probes=0.05, kind="rois")
    return folder
