"""The program as users start it: one run, one sweep, and every mistake answered in words."""

import json
import os
import subprocess
import sys

import pytest


def brainexp(folder, *words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "brainexp", *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_help_lists_the_groups_and_their_members(tmp_path):
    told = brainexp(tmp_path, "--help").stdout

    for words in (
        "dataset: alice, alice_ds002322, blank2014, custom, custom_items, deniz2019, harry_potter, lebel2023, little_prince, "
        "narratives, passage, pereira2018, synthetic, tuckute2024",
        "compression: awq, awq4, bnb_fp4, ",
        "compression/calibration: grammar, ",
        "holmes, knowledge, lm_eval, minimal_pairs, perplexity, senteval, ud, word_length",
        "encoder: banded_ridge, ",
        "huth_bootstrap, litcoder, oota, oota_s1, ridge",
        "prompt: chat, plain, task",
        "python -m brainexp.fetch",
        "minilm",
    ):
        assert words in told


def test_one_run_prints_a_table_and_where_everything_is(tmp_path, small_run):
    done = brainexp(tmp_path, *small_run, "report.figures=true", "hydra.run.dir=here")

    assert done.returncode == 0, done.stderr
    for words in (
        "local-none-passage",
        "LPTL",
        "word_rate",
        "chosen on training rows",
        f"{tmp_path}/here",
        "mlflow ui --backend-store-uri",
    ):
        assert words in done.stdout
    assert {path.name for path in (tmp_path / "here").iterdir()} >= {
        "result.json",
        "scores.parquet",
        "voxels.npz",
        "comparisons.parquet",
        "figures",
        "maps",
        "brainexp.log",
        ".hydra",
    }


def test_a_sweep_makes_a_run_of_each(tmp_path, small_run):
    done = brainexp(tmp_path, "--multirun", *small_run, "model.context_words=2,5", "hydra.sweep.dir=sweep")

    assert done.returncode == 0, done.stderr
    words = [
        json.loads(path.read_text())["config"]["model"]["context_words"]
        for path in sorted(tmp_path.glob("sweep/*/result.json"))
    ]
    assert words == [2, 5]
    assert "2 runs" in done.stdout
    assert "model.context_words" in done.stdout


def test_runs_and_sweeps_of_three_people_end_with_tests_over_subjects(tmp_path, small_run):
    done = brainexp(
        tmp_path, "--multirun", *small_run, "dataset.n_subjects=3", "model.context_words=2,5", "hydra.sweep.dir=sweep"
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model against baselines, 3 subjects: minus word_rate") == 2
    assert "jobs against their reference: minus context_words=2" in done.stdout
    assert "not tested" not in done.stdout + done.stderr
    assert {path.name for path in (tmp_path / "sweep").iterdir()} >= {"comparisons.csv", "comparisons.png"}


def test_two_people_are_told_that_there_is_no_test(tmp_path, small_run):
    done = brainexp(tmp_path, *small_run)

    assert (
        "The model is not tested against its baselines: that takes at least 3 subjects (here: 2)."
        in done.stdout + done.stderr
    )
    assert "model against baselines" not in done.stdout


def test_a_failed_job_does_not_stop_the_sweep(tmp_path, small_run):
    done = brainexp(tmp_path, "--multirun", *small_run, "split.folds=9,3", "hydra.sweep.dir=sweep")

    assert done.returncode == 1
    assert "split.folds=9, but there are only 8 runs" in done.stderr
    assert [path.parent.name for path in tmp_path.glob("sweep/*/result.json")] == ["1"]


MISTAKES = [
    (["model=minlm"], "Could not find 'model/minlm'"),
    (
        ["encoder.alfas=[1]"],
        "there is no option 'encoder.alfas'. Did you mean 'encoder.alphas'? Known: alphas, ",
    ),
    (
        ["compression.bits=4"],
        "there is no option 'compression.bits'. The chosen compression does not have it; another may.",
    ),
    (["compresion=none"], "there is no option 'compresion'. Did you mean 'compression'?"),
    (["split.fold=3"], "there is no option 'split.fold'. Did you mean 'split.folds'?"),
    (["encoder.alphas=foo"], "encoder 'ridge': alphas: Input should be a valid tuple, got 'foo'"),
    (["encoder.form=qr"], "encoder 'ridge': form: Input should be 'auto', 'primal', 'dual' or 'downdated', got 'qr'"),
    (["encoder.device=gpu"], "encoder.device=gpu is not known. Give auto, cpu, cuda or cuda:1."),
    (
        ["+encoder.x=1"],
        "unknown option of encoder 'ridge': 'x'. Known: alphas, choose_by, device, dtype, form, nodes, nuisance, voxels_per_batch.",
    ),
    (["model=local"], "model.path is missing. Give it: model.path=..."),
    (["dataset=alice"], "dataset 'alice': dataset.root is not set. Download the release"),
    (["dataset=alice", "dataset.root=nowhere"], "there is no folder nowhere"),
    (["align.downsample=mode"], "align: downsample: Input should be 'lanczos', 'mean', 'sum' or 'last', got 'mode'"),
    (["scoring.permutations=0"], "scoring: permutations and block_trs must be at least 1, got 0 and 10"),
    (["scoring.shuffle=shift"], "scoring: shuffle: Input should be 'block' or 'circular_shift', got 'shift'"),
    (["scoring.equivalence_margin=0"], "scoring: equivalence_margin must lie between 0 and 1, in units of r, got 0.0"),
    (["scoring.confidence=95"], "scoring: confidence must lie between 0.5 and 1, such as 0.95, got 95.0"),
    (
        ["scoring.multiplicity=bonferroni"],
        "scoring: multiplicity: Input should be 'holm', 'bh' or 'by', got 'bonferroni'",
    ),
    (
        ["scoring.shuffle=circular_shift", "scoring.block_trs=500"],
        "moves predictions by at least scoring.block_trs=500 TRs, but a held-out fold has only",
    ),
    (["model.device=cuda"], "model.device=cuda, but torch"),
    (["model=a,b"], "To sweep over it, add --multirun"),
]


@pytest.mark.parametrize(
    ("words", "answer"), MISTAKES, ids=lambda value: value[-1] if isinstance(value, list) else None
)
def test_a_mistake_is_answered_in_words_and_without_a_trace(tmp_path, small_run, words, answer):
    needed = ["model.path=x"] if words[0] in ("encoder.alphas=foo",) else []
    model = [] if words[0].startswith("model") else small_run[1:3]

    done = brainexp(tmp_path, *model, "tracking.uri=null", *needed, *words, CUDA_VISIBLE_DEVICES="")

    assert done.returncode == 1
    assert answer in done.stderr
    assert "Traceback" not in done.stderr


def test_the_trace_is_shown_when_asked_for(tmp_path):
    done = brainexp(tmp_path, "dataset=alice", "tracking.uri=null", HYDRA_FULL_ERROR="1")

    assert "Traceback" in done.stderr
    assert "dataset.root is not set" in done.stderr


def test_a_second_run_into_the_same_folder_is_refused(tmp_path, small_run):
    first = brainexp(tmp_path, *small_run, "hydra.run.dir=here")
    second = brainexp(tmp_path, *small_run, "hydra.run.dir=here")

    assert first.returncode == 0, first.stderr
    assert second.returncode == 1
    assert "here already holds a result, which would be overwritten" in second.stderr
