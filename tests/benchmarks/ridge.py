"""Voxel-wise ridge, a penalty per voxel by cross-validation: brainexp against himalaya, LITcoder and HuthLab.

``python -m tests.benchmarks.ridge --repeats 1`` takes two or three minutes on two idle cores, ``--size full`` an hour. Every
run is a process of its own, so that its peak memory is its own; programs take turns. Everyone gets the same arrays, inner folds and penalties and
predicts the same held-out rows. LITcoder and HuthLab are called in checkouts of their repositories, named by BRAINEXP_LITCODER and
BRAINEXP_HUTHLAB, and left out without. Neither centres rows inside a fold, so their r differs a little. Differences of r
are the largest over voxels: of the cross-validated r at the chosen penalty, and of r on held-out rows, which jumps where two
penalties are so nearly as good that a program in single precision tips: ``himalaya KernelRidgeCV float64`` and ``himalaya
RidgeCV float64`` do not, and are what to compare with. Multiplications of each type are counted at the measured rate of that
type. Memory is read from /proc: Linux only.
"""

import argparse
import importlib
import importlib.util
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import types
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from brainexp.containers import Design, Fold
from brainexp.score.correlation import pearson_r

DELAYS = (1, 2, 3, 4)
ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 6, 20))
#: A run of more CPU seconds is not repeated.
SLOW_S = 30.0
#: Smaller sizes have this share of the rows, features and voxels.
SHARE = {"full": 1.0, "small": 0.25}


@dataclass(frozen=True)
class Case:
    """One problem; targets are ratios of CPU time, peer to ours, by the first word of a peer's name."""

    n_rows: int
    n_features: int  # delays included
    n_voxels: int  # of each subject
    n_folds: int
    targets: dict
    n_subjects: int = 1

    def scaled(self, share):
        dims, rows, voxels = (max(1, round(share * n)) for n in (self.n_features / 4, self.n_rows, self.n_voxels))
        return Case(rows, 4 * dims, voxels, self.n_folds, self.targets, self.n_subjects)

    def __str__(self):
        subjects = f"{self.n_subjects} × " if self.n_subjects > 1 else ""
        return f"{self.n_rows:,} × {self.n_features:,} × {subjects}{self.n_voxels:,}, {self.n_folds} folds"


ONE = {"himalaya": 4.5, "LITcoder": 3.5, "HuthLab": 6}
CASES = {
    "one subject": Case(2000, 2048, 12000, 5, ONE),
    "large n": Case(3000, 3072, 4000, 5, ONE),
    "primal": Case(6000, 768, 6000, 5, {"himalaya": 20, "LITcoder": 4}),
    "20 folds": Case(2000, 2048, 2000, 20, {"himalaya": 8, "LITcoder": 12}),
    "eight subjects": Case(2000, 2048, 2000, 5, {"himalaya": 10}, n_subjects=8),
}


@dataclass(frozen=True)
class Problem:
    """Arrays of a case; the peers get delayed features and standardised rows, made before the clock starts."""

    design: Design
    features: np.ndarray  # (n_rows + n_test, n_features), standardised
    responses: np.ndarray  # (n_rows + n_test, n_voxels), all subjects side by side
    fold: Fold

    @classmethod
    def made(cls, case):
        """Features with a falling spectrum, as layers of language models have, and responses with a planted signal."""
        rng = np.random.default_rng(0)
        n_test, dims = case.n_rows // 5, case.n_features // 4
        latent = rng.standard_normal((case.n_rows + n_test, dims), dtype=np.float32)
        latent *= np.arange(1, dims + 1, dtype=np.float32) ** -0.5
        trs = latent @ rng.standard_normal((dims, dims), dtype=np.float32)
        design = Design("layer", (trs,), (slice(0, None),), DELAYS)
        rows = np.arange(case.n_rows)
        trs = (trs - trs[rows].mean(axis=0)) / trs[rows].std(axis=0)
        features = np.concatenate([np.where(at[:, None] >= 0, trs[at], 0) for at in design.sources()], axis=1)
        n_voxels = case.n_voxels * case.n_subjects
        weights = rng.standard_normal((case.n_features, n_voxels), dtype=np.float32)
        responses = features @ (weights / np.sqrt(np.float32(case.n_features)))
        noise = rng.uniform(0.5, 8, n_voxels).astype(np.float32)
        responses += noise * rng.standard_normal(responses.shape, dtype=np.float32)
        responses = (responses - responses[rows].mean(axis=0)) / responses[rows].std(axis=0)
        inner = tuple((np.setdiff1d(rows, held), held) for held in np.array_split(rows, case.n_folds))
        return cls(design, features, responses, Fold(rows, np.arange(case.n_rows, len(features)), inner))


def ours(problem, n_subjects):
    """Predictions of held-out rows, and the cross-validated r of the chosen penalty; here and below."""
    from brainexp.encoder.ridge import Ridge

    train = problem.responses[problem.fold.train]
    nobody = np.zeros(train.shape[1], int)
    fitted = Ridge(alphas=ALPHAS, device="cpu").fit([problem.design], train, nobody, problem.fold)
    return fitted.predicted, fitted.validation_r


def per_subject(fit):
    """Peers know of one subject only: call them for each."""

    def every(problem, n_subjects):
        train, test = problem.fold.train, problem.fold.test
        x, new = problem.features[train], problem.features[test]
        each = np.array_split(problem.responses[train], n_subjects, axis=1)
        found = [fit(x, y, new, problem.fold.inner) for y in each]
        return tuple(np.concatenate(own, axis=-1) for own in zip(*found, strict=True))

    return every


def himalaya(estimator, backend, dtype="float32"):
    def fit(x, y, new, inner):
        from himalaya.backend import set_backend
        from himalaya.kernel_ridge import KernelRidgeCV
        from himalaya.ridge import RidgeCV
        from himalaya.scoring import correlation_score

        set_backend(backend)
        options = {"alphas": np.array(ALPHAS), "cv": list(inner), "fit_intercept": True}
        options["solver_params"] = {"score_func": correlation_score}
        own = KernelRidgeCV(**options, warn=False) if estimator == "KernelRidgeCV" else RidgeCV(**options)
        own.fit(x.astype(dtype, copy=False), y.astype(dtype, copy=False))
        return np.asarray(own.predict(new.astype(dtype, copy=False))), np.asarray(own.cv_scores_)

    return per_subject(fit)


@cache
def litcoder_solvers():
    """Its search over folds and its fit, from a checkout."""
    # Its packages import all of its feature extractors: folders are enough.
    root = Path(os.environ["BRAINEXP_LITCODER"]) / "encoding"
    for name, folder in (("encoding", root), ("encoding.models", root / "models")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(folder)]
    if importlib.util.find_spec("statsmodels") is None:  # for significance tests, which are not run
        for name in ("statsmodels", "statsmodels.stats", "statsmodels.stats.multitest"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["statsmodels.stats.multitest"].fdrcorrection = None
    search = importlib.import_module("encoding.models.nested_cv")._find_best_alphas
    return search, importlib.import_module("encoding.models.ridge_regression").ridge_torch


def litcoder(x, y, new, inner):
    """Without its significance tests; its penalties are roots of ours."""
    import torch

    search, solve = litcoder_solvers()
    features, responses = torch.from_numpy(x), torch.from_numpy(y)
    roots = [float(alpha) ** 0.5 for alpha in ALPHAS]
    alphas = search(features, responses, [(fit.tolist(), held.tolist()) for fit, held in inner], roots)
    weights = solve(features, responses, alphas, singcutoff=1e-10)
    return (torch.from_numpy(new) @ weights).numpy(), np.full(y.shape[1], np.nan)


def huthlab(x, y, new, inner):
    """Its bootstrap, whose draws are made to be our folds, without correlations of its own that we repeat."""
    sys.path.insert(0, str(Path(os.environ["BRAINEXP_HUTHLAB"]) / "encoding"))
    ridge = importlib.import_module("ridge_utils.ridge")
    ridge.ridge_logger.setLevel(logging.ERROR)

    draws = iter(range(len(inner)))

    def shuffle(chunks):
        first = next(draws)
        chunks[:] = chunks[first:] + chunks[:first]

    ridge.random = types.SimpleNamespace(shuffle=shuffle)
    weights, _, _, scores, _ = ridge.bootstrap_ridge(
        x, y, new, np.ones((len(new), y.shape[1]), x.dtype) * np.arange(len(new))[:, None], np.sqrt(ALPHAS).astype(x.dtype),
        nboots=len(inner), chunklen=len(x) // len(inner), nchunks=1,
    )  # fmt: skip
    return new @ weights, scores.mean(axis=2).max(axis=0)


PROGRAMS = {
    "brainexp": ours,
    "himalaya KernelRidgeCV numpy": himalaya("KernelRidgeCV", "numpy"),
    "himalaya KernelRidgeCV torch": himalaya("KernelRidgeCV", "torch"),
    "himalaya KernelRidgeCV float64": himalaya("KernelRidgeCV", "torch", "float64"),
    "himalaya RidgeCV float64": himalaya("RidgeCV", "torch", "float64"),
    "himalaya RidgeCV numpy": himalaya("RidgeCV", "numpy"),
    "himalaya RidgeCV torch": himalaya("RidgeCV", "torch"),
    "LITcoder": per_subject(litcoder),
    "HuthLab": per_subject(huthlab),
}
CHECKOUTS = {"LITcoder": "BRAINEXP_LITCODER", "HuthLab": "BRAINEXP_HUTHLAB"}


def cpu_s():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def memory_mib(which):
    """Resident memory of this process: VmRSS now, or VmHWM at its peak."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which)]
    return int(line.split()[1]) / 1024


def gemm_rate(dtype):
    """Multiplications a CPU second of a large product, the best of five."""
    import torch

    one = torch.rand(2048, 2048).to(dtype)
    spent = []
    for _ in range(6):
        before = cpu_s()
        for _ in range(4):
            one @ one
        spent.append((cpu_s() - before) / 4)
    return 2048**3 / min(spent[1:])


def least_s(work):
    """CPU seconds that the matrix products and decompositions of some work take at the measured rates of their types.

    A symmetric eigendecomposition counts 4.5 n³ (LAPACK working note 41: 9 n³ operations with vectors), an inverse n³.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counted(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.total = Counter()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            name = func.overloadpacket.__name__
            if name in ("mm", "addmm", "addmm_", "bmm"):
                left, right = args[-2:]
                self.total[left.dtype] += left.numel() * right.shape[-1]
            elif name in ("_linalg_eigh", "linalg_inv_ex"):
                count = args[0].numel() * args[0].shape[-1]
                self.total[args[0].dtype] += count * (4.5 if name == "_linalg_eigh" else 1)
            return out

    with Counted() as counted:
        work()
    return sum(count / gemm_rate(dtype) for dtype, count in counted.total.items())


def measured(name, case, folder):
    """Run a program once on stored arrays, in this process; figures as a dictionary."""
    warnings.simplefilter("ignore")
    arrays = {key: np.load(folder / f"{key}.npy") for key in ("trs", "features", "responses")}
    rows = np.arange(case.n_rows)
    inner = tuple((np.setdiff1d(rows, held), held) for held in np.array_split(rows, case.n_folds))
    fold = Fold(rows, np.arange(case.n_rows, len(arrays["features"])), inner)
    design = Design("layer", (arrays["trs"],), (slice(0, None),), DELAYS)
    problem = Problem(design, arrays["features"], arrays["responses"], fold)
    PROGRAMS[name](Problem.made(Case(60, 40, 5, case.n_folds, {})), 1)  # imports and threads are not what is measured
    resident, before = memory_mib("VmRSS"), cpu_s()
    predicted, validation_r = PROGRAMS[name](problem, case.n_subjects)
    figures = {"cpu_s": cpu_s() - before, "peak_mib": memory_mib("VmHWM") - resident}
    np.save(folder / f"{name} r.npy", np.stack([pearson_r(problem.responses[fold.test], predicted), validation_r]))
    if name == "brainexp":
        figures["rate"] = least_s(lambda: ours(problem, case.n_subjects)) / figures["cpu_s"]
    return figures


def apart(name, case_name, size, folder):
    """As `measured`, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.ridge", "--one", name, "--case", case_name, "--size", size]
    done = subprocess.run([*command, "--folder", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed on {case_name!r}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def asked(case, programs):
    """Programs that can be run on a case: the primal estimator only where it is meant for it, checkouts where they are."""
    for name in programs:
        primal = case.n_features < case.n_rows
        if "himalaya" in name and primal != (" RidgeCV" in name):
            continue
        if name in CHECKOUTS and (CHECKOUTS[name] not in os.environ or case.n_subjects > 1):
            continue
        yield name


def compare(case_name, size, repeats, programs, console):
    case = CASES[case_name].scaled(SHARE[size])
    found = {name: [] for name in asked(case, programs)}
    with tempfile.TemporaryDirectory() as folder:
        problem = Problem.made(case)
        for key, values in (
            ("trs", problem.design.runs[0]),
            ("features", problem.features),
            ("responses", problem.responses),
        ):
            np.save(Path(folder) / f"{key}.npy", values)
        for _ in range(repeats):
            for name, own in found.items():
                if not own or own[0]["cpu_s"] < SLOW_S:
                    own.append(apart(name, case_name, size, folder))
                    print(f"{case_name}: {name}: {own[-1]}", file=sys.stderr, flush=True)
        r = {name: np.load(Path(folder) / f"{name} r.npy") for name in found}
    console.print(_table(case_name, case, found, r))


def _table(case_name, case, found, r):
    table = Table(title=f"{case_name}: {case}, {len(ALPHAS)} penalties")
    for column in (
        "program",
        "CPU s",
        "spread",
        "runs",
        "peak MiB",
        "peer/ours",
        "target",
        "GEMM share",
        "|Δr| CV",
        "|Δr| test",
        "mean r",
    ):
        table.add_column(column, justify="left" if column == "program" else "right")
    median = {name: statistics.median(one["cpu_s"] for one in own) for name, own in found.items()}
    for name, own in found.items():
        seconds = [one["cpu_s"] for one in own]
        shares = [one["rate"] for one in own if "rate" in one]
        difference = np.abs(r[name] - r["brainexp"]).max(axis=1)
        target = case.targets.get(name.split()[0], "")
        table.add_row(
            name,
            f"{median[name]:.1f}",
            f"{min(seconds):.1f}–{max(seconds):.1f}",
            str(len(own)),
            f"{statistics.median(one['peak_mib'] for one in own):,.0f}",
            f"{median[name] / median['brainexp']:.1f}" if name != "brainexp" else "",
            f"≥ {target}" if target else "",
            f"{statistics.median(shares):.0%}" if shares else "",
            *("" if name == "brainexp" or np.isnan(gap) else f"{gap:.0e}" for gap in (difference[1], difference[0])),
            f"{r[name][0].mean():.4f}",
        )
    return table


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHARE, default="small")
    parser.add_argument("--case", choices=CASES, nargs="*", default=list(CASES))
    parser.add_argument("--program", choices=PROGRAMS, nargs="*", default=list(PROGRAMS), help="brainexp is always run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        print(json.dumps(measured(given.one, CASES[given.case[0]].scaled(SHARE[given.size]), given.folder)))
        return
    console = Console(width=140)
    for name, variable in CHECKOUTS.items():
        if variable not in os.environ:
            console.print(f"{name} is left out: set {variable} to the folder of a checkout of it.")
    programs = [name for name in PROGRAMS if name == "brainexp" or name in given.program]
    for case_name in given.case:
        compare(case_name, given.size, given.repeats, programs, console)


if __name__ == "__main__":
    main()
