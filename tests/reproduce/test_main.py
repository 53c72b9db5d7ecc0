"""python -m brainexp.reproduce as users start it: what is the same, what is not, and where."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from brainexp.cli import execute
from brainexp.errors import ConfigError
from brainexp.reproduce.__main__ import asked, main
from tests.conftest import CONF


@pytest.fixture(scope="module")
def model(checkpoints, tmp_path_factory):
    """A checkpoint of the tests' own, which they may change."""
    folder = tmp_path_factory.mktemp("model") / "gpt2"
    shutil.copytree(checkpoints["gpt2"], folder)
    return folder


@pytest.fixture(scope="module")
def place(model, tmp_path_factory):
    """A folder with a recorded run, ``run``, and the tracker in which it is, ``mlflow.db``."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    place = tmp_path_factory.mktemp("place")
    overrides = [
        "dataset=passage", "model=local", f"model.path={model}", "dataset.n_subjects=2", "split.folds=3",
        "encoder.alphas=[100,10000]", "scoring.permutations=50", "baselines=[word_rate]", "report.figures=false",
        f"tracking.uri=sqlite:///{place}/mlflow.db", f"cache.dir={place}/cache", "probe=[word_length]",
    ]  # fmt: skip
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", overrides), resolve=True)
    (place / "cache").mkdir()
    execute(config, place / "run")
    return place


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """Tracker and working directory of a test."""
    monkeypatch.chdir(tmp_path)
    return f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"


def altered(place, tmp_path, change):
    """Return a copy of the recorded run whose record was changed."""
    folder = tmp_path / "altered"
    shutil.copytree(place / "run", folder)
    record = json.loads((folder / "result.json").read_text())
    change(record)
    (folder / "result.json").write_text(json.dumps(record))
    return str(folder)


def told(folder):
    return json.loads((folder / "reproduction.json").read_text())


def verdicts(report):
    """The worst verdict of each stage that is not identical."""
    return {one["stage"]: one["verdict"] for one in reversed(report["findings"]) if one["verdict"] != "identical"}


def test_a_run_is_reproduced_bit_for_bit(place, here, tmp_path, capsys):
    before = {file: file.read_bytes() for file in (place / "run").rglob("*") if file.is_file()}

    assert main([str(place / "run"), here, "out=again"]) == 0

    said = capsys.readouterr().out
    assert "reproduced: every number is identical bit for bit" in said
    assert "features of 8 of 8 stories were in the cache" in said
    report = told(tmp_path / "again")
    assert (report["verdict"], report["first_difference"], report["tolerance"]) == ("identical", None, 1e-6)
    assert {one["verdict"] for one in report["findings"]} == {"identical"}
    assert "time/*" in report["not_compared"]
    assert (tmp_path / "again" / "result.json").is_file()
    assert {file: file.read_bytes() for file in (place / "run").rglob("*") if file.is_file()} == before


def test_a_fresh_cache_gives_the_same_bits_and_goes_afterwards(place, here, tmp_path, capsys):
    assert main([str(place / "run" / "result.json"), here, "out=again", "--fresh"]) == 0

    assert "were in the cache" not in capsys.readouterr().out
    assert told(tmp_path / "again")["verdict"] == "identical"
    assert not list((tmp_path / "again").glob(".*"))


def test_a_run_of_the_tracker_is_reproduced_and_linked(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{place}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("brainexp").experiment_id
    (first,) = client.search_runs([experiment], "tags.`brainexp.dataset` = 'passage'")

    assert main([first.info.run_id, f"tracking.uri={uri}"]) == 0

    (again,) = client.search_runs([experiment], f"tags.`brainexp.reproduces` = '{first.info.run_id}'")
    assert again.data.tags["brainexp.reproduced"] == "identical"
    assert again.info.status == "FINISHED"
    assert again.info.run_name.endswith(" again")
    assert "reproduction.json" in {item.path for item in client.list_artifacts(again.info.run_id)}
    (folder,) = (tmp_path / "outputs" / "reproductions").iterdir()
    assert told(folder)["reproduces"] == first.info.run_id


def test_the_artifacts_tell_of_packages_and_the_record_of_stages(place):
    record = json.loads((place / "run" / "result.json").read_text())

    assert "torch==" in (place / "run" / "environment.txt").read_text()
    assert record["provenance"].keys() == {"seeds", "files", "data", "model", "compression", "features"}
    assert record["environment"]["threads"]
    assert len(record["config_hash"]) == 64


def test_another_seed_in_the_record_is_found_where_it_is_drawn_from(place, here, tmp_path, capsys):
    folder = altered(place, tmp_path, lambda record: record["config"].update(seed=5))

    assert main([folder, here, "out=again"]) == 1

    report = told(tmp_path / "again")
    assert report["first_difference"] == "seeds"
    assert verdicts(report).keys() == {"seeds", "statistics"}
    assert "not reproduced within 1e-06" in capsys.readouterr().out


def test_other_data_are_found_in_the_data(place, here, tmp_path, capsys):
    assert main([str(place / "run"), here, "out=again", "dataset.seed=9"]) == 1

    report = told(tmp_path / "again")
    assert report["first_difference"] == "data"
    assert report["options"]["given"] == {"dataset.seed": [0, 9]}
    assert "model" not in verdicts(report)
    assert "dataset.seed (given)" in capsys.readouterr().out


def test_other_weights_are_found_before_the_run_and_in_the_model(place, model, here, tmp_path, capsys):
    from safetensors.numpy import load_file, save_file

    weights = model / "model.safetensors"
    kept = weights.read_bytes()
    arrays = load_file(weights)
    arrays[next(name for name in arrays if name.endswith("mlp.c_fc.weight"))][0] += 0.5
    try:
        save_file(arrays, weights, metadata={"format": "pt"})
        assert main([str(place / "run"), here, "--dry-run"]) == 0
        dry = capsys.readouterr().out
        assert main([str(place / "run"), here, "out=again"]) == 1
    finally:
        weights.write_bytes(kept)

    assert "weights" in dry
    report = told(tmp_path / "again")
    assert report["first_difference"] == "model"
    found = verdicts(report)
    assert found["features"] == "other bits"
    assert found["encoding"] == "differs"
    assert "data" not in found
    assert "ceiling" not in found
    layers = next(one for one in report["findings"] if one["what"] == "layers")
    assert layers["where"] == "2 of 3: 1, 2"  # the embedding output is as it was


def test_a_result_that_differs_by_a_thousandth_fails_unless_that_is_allowed(place, here, tmp_path, capsys):
    def shift(record):
        record["metrics"]["alignment/r"] += 1e-3

    folder = altered(place, tmp_path, shift)

    assert main([folder, here, "out=again"]) == 1
    assert main([folder, here, "out=once_more", "tolerance=0.01"]) == 0

    said = capsys.readouterr().out
    assert "not reproduced within 1e-06: metrics (encoding) differ by up to 0.001" in said
    assert "reproduced within 0.01: numbers differ by up to 0.001" in said
    assert told(tmp_path / "again")["first_difference"] == "encoding"


def test_threads_are_set_as_they_were(place, here, tmp_path):
    import torch

    def of_three(record):
        for one in record["environment"]["threads"]:
            one["num_threads"] = 3

    before = torch.get_num_threads()

    main([altered(place, tmp_path, of_three), here, "out=again"])

    threads = json.loads((tmp_path / "again" / "result.json").read_text())["environment"]["threads"]
    assert {one["num_threads"] for one in threads} == {3}
    assert torch.get_num_threads() == before


def test_a_dry_run_shows_what_differs_and_runs_nothing(place, here, tmp_path, capsys):
    def older(record):
        record["environment"] |= {"brainexp": "0.0.1", "git_commit": "abc", "python": "3.9.1"}
        record["environment"]["cpu"]["model"] = "Abacus"
        record["environment"]["gpus"] = ["NVIDIA H200"]
        record["environment"]["variables"]["OMP_NUM_THREADS"] = "64"
        record["provenance"]["files"]["model.path"]["digest"] = "0" * 64

    folder = altered(place, tmp_path, older)
    listed = tmp_path / "altered" / "environment.txt"
    listed.write_text(listed.read_text().replace("torch==", "torch==1.").replace("numpy==", "numpee=="))

    assert main([folder, here, "--dry-run"]) == 0

    said = capsys.readouterr().out
    for words in ("0.0.1", "abc", "3.9.1", "Abacus", "NVIDIA H200", "64", "000000000000", "torch", "numpee"):
        assert words in said, words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["altered"]


def test_changes_that_no_commit_holds_are_pointed_at(place, here, tmp_path, capsys):
    def dirty(record):
        record["environment"]["git_diff"] = {"file": "git.diff", "sha256": "0" * 64}

    folder = altered(place, tmp_path, dirty)
    (tmp_path / "altered" / "git.diff").write_text("")

    main([folder, here, "--dry-run"])

    assert f"git apply {folder}/git.diff" in capsys.readouterr().out


def test_a_run_of_another_version_is_refused_until_its_unknown_option_is_left_out(place, here, tmp_path, capsys):
    def other_version(record):
        record["config"]["encoder"]["shape"] = "round"
        del record["config"]["scoring"]["fdr"]
        record["environment"] |= {"brainexp": "9.0", "git_commit": "abc"}

    folder = altered(place, tmp_path, other_version)

    assert main([folder, here, "--dry-run"]) == 1
    dry = capsys.readouterr().out
    assert "encoder.shape (not in this version)" in dry
    assert "scoring.fdr (new in this version)" in dry
    assert main([folder, here, "out=again"]) == 1
    error = capsys.readouterr().err
    assert (
        "this version has no encoder.shape=round. Reproduce with the recorded one (brainexp 9.0, commit abc)" in error
    )
    assert "or leave them out: ~encoder.shape" in error
    assert not (tmp_path / "again").exists()
    assert main([folder, here, "out=again", "~encoder.shape"]) == 0
    report = told(tmp_path / "again")
    assert report["options"]["given"] == {"~encoder.shape": ["round", None]}
    assert report["options"]["new"] == {"scoring.fdr": "bh"}


def test_missing_data_are_told_with_the_way_out_before_anything_runs(place, here, tmp_path, capsys):
    def with_data(record):
        record["config"]["dataset"] = {"name": "alice", "root": "alice"}
        record["environment"]["working_directory"] = "/nowhere"
        files = {"paths": ["/nowhere/alice"], "files": 3, "bytes": 9, "digest": "0" * 64, "whole": True}
        record["provenance"]["files"]["dataset.root"] = files

    folder = altered(place, tmp_path, with_data)

    assert main([folder, here, "--dry-run"]) == 1
    assert "/nowhere/alice is not there" in capsys.readouterr().out
    assert main([folder, here, "out=again"]) == 1
    assert "not there: dataset.root=/nowhere/alice. Say where it is now: dataset.root=..." in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_weights_that_are_not_to_be_had_are_told(place, here, tmp_path, capsys):
    def elsewhere(record):
        record["config"]["model"]["path"] = "/nowhere/model"

    assert main([altered(place, tmp_path, elsewhere), here, "--dry-run"]) == 1
    assert "not to be had" in capsys.readouterr().out


def test_data_that_have_moved_give_the_same_bits(composed, tmp_path, monkeypatch, model, capsys):
    """A folder of one's own, given relative to where the run was started."""
    from tests.dataset.replicas import custom_replica

    monkeypatch.chdir(tmp_path)
    custom_replica(tmp_path / "mine")
    config = composed(
        "dataset=custom", "dataset.root=mine", "model=local", f"model.path={model}", "encoder.alphas=[100]", "split.folds=3",
        "scoring.permutations=20", "baselines=[]", "partition.spaces=[]", "report.figures=false", "tracking.uri=null",
        "ceiling.method=none", "align.delays=[1]", "model.context_words=5",
    )  # fmt: skip
    execute(config, tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert main([str(tmp_path / "run"), "tracking.uri=null", "out=again"]) == 0
    (tmp_path / "mine").rename(tmp_path / "moved")
    assert main([str(tmp_path / "run"), "tracking.uri=null", "out=lost"]) == 1
    assert main([str(tmp_path / "run"), "tracking.uri=null", "out=found", f"dataset.root={tmp_path}/moved"]) == 0

    for folder in ("again", "found"):
        assert told(tmp_path / "elsewhere" / folder)["verdict"] == "identical"
    assert "dataset.root" in told(tmp_path / "elsewhere" / "found")["options"]["given"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere/at/all"], "nowhere/at/all: there is no such folder or file. Give a run's folder, its result.json"),
        (
            ["0123456789abcdef0123456789abcdef"],
            "there is no run 0123456789abcdef0123456789abcdef: tracking.uri=sqlite:///",
        ),
        (["empty"], "empty holds no result.json, so no run has finished there."),
        (["sweep"], "sweep is the folder of a sweep. Give one of its runs: sweep/0, …"),
        (["broken/result.json"], "broken/result.json cannot be read as the record of a run"),
        (["other/result.json"], "other/result.json is no record of a run: it has no config or no metrics."),
        (["--dry-run"], "--dry-run is not understood here. RUN comes first"),
        (["RUN", "--dry"], "--dry is not understood here."),
        (["RUN", "tolerance=much"], "tolerance=much must be a number from 0 to below 1"),
        (["RUN", "tolerance=1"], "tolerance=1 must be a number from 0 to below 1"),
        (["RUN", "out=full"], "out=full is not empty. Give a new folder, or empty it."),
        (["RUN", "encoder.alfas=3"], "the recorded run has no option 'encoder.alfas'. Did you mean 'encoder.alphas'?"),
        (["RUN", "tracking.url=x"], "unknown option of tracking: 'url'. Did you mean 'uri'?"),
    ],
)
def test_a_mistake_is_answered_in_words(place, here, tmp_path, capsys, words, said):
    for name in ("empty", "sweep/0", "broken", "other", "full"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "sweep" / "0" / "result.json").write_text("{}")
    (tmp_path / "broken" / "result.json").write_text("{")
    (tmp_path / "other" / "result.json").write_text("{}")
    (tmp_path / "full" / "mine.txt").write_text("x")

    assert main([str(place / "run") if word == "RUN" else word for word in words] + [here]) == 1

    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_run_that_failed_has_nothing_to_reproduce(place, tmp_path, capsys):
    uri = f"sqlite:///{place}/mlflow.db"
    client = MlflowClient(uri)
    failed = client.create_run(client.get_experiment_by_name("brainexp").experiment_id).info.run_id
    client.set_terminated(failed, "FAILED")

    assert main([failed, f"tracking.uri={uri}", f"out={tmp_path}/again"]) == 1
    assert f"run {failed} has left no result.json, so it did not finish." in capsys.readouterr().err
    assert main(["f" * 32, f"tracking.uri={uri}"]) == 1
    assert f"run {'f' * 32} cannot be read from tracking.uri=" in capsys.readouterr().err


def test_a_failing_repetition_leaves_no_half_and_is_marked(place, here, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("brainexp.reproduce.__main__.compared", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        main([str(place / "run"), here, "out=again"])

    client = MlflowClient(here.removeprefix("tracking.uri="))
    (run,) = client.search_runs([client.get_experiment_by_name("brainexp").experiment_id])
    assert run.info.status == "FAILED"
    assert not (tmp_path / "again" / "reproduction.json").exists()


def test_a_job_that_had_finished_before_leads_to_its_run(place, here, tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "same.json").write_text(json.dumps({"folder": str(place / "run"), "run_id": None}))

    assert main(["job", here, "out=again"]) == 0
    assert told(tmp_path / "again")["reproduces"] == str(place / "run")


def test_the_command_line_is_read():
    request = asked(["run=1/x", "dataset.root=a=b", "out=new", "tolerance=1e-4", "~encoder.x", "--fresh"])

    assert (request.run, request.overrides) == ("run=1/x", ("dataset.root=a=b", "~encoder.x"))
    assert (str(request.out), request.tolerance, request.fresh, request.dry) == ("new", 1e-4, True, False)
    with pytest.raises(ConfigError, match="--nonesuch is not understood here"):
        asked(["x", "--nonesuch"])


def test_usage_is_told(capsys):
    assert main(["--help"]) == 0
    assert main([]) == 2
    assert capsys.readouterr().out.count("usage: python -m brainexp.reproduce RUN") == 2


def test_it_starts_as_a_program(place, tmp_path):
    words = [sys.executable, "-m", "brainexp.reproduce", str(place / "run"), "tracking.uri=null", "--dry-run"]

    done = subprocess.run(words, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "transformer-none-passage" in done.stdout


def test_no_secret_is_in_any_file_of_a_run(composed, small_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hunter2")
    monkeypatch.setenv("BRAINEXP_PASSWORD", "hunter2")
    monkeypatch.setattr(sys, "argv", ["brainexp", "tracking.uri=https://me:hunter2@tracker"])

    execute(composed(*small_run), tmp_path / "run")

    files = [
        file for file in tmp_path.rglob("*") if file.is_file() and file.suffix in (".json", ".txt", ".diff", ".db")
    ]
    assert len(files) >= 4
    assert not [file.name for file in files if b"hunter2" in file.read_bytes()]
