"""What is recorded of software and hardware, and what never is."""

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from brainexp import environment as module
from brainexp.checkout import Checkout
from brainexp.environment import HIDDEN, attachments, environment, installed, public


def test_everything_can_be_written_as_json():
    import torch  # noqa: F401

    told = environment()

    assert json.loads(json.dumps(told)) == told
    assert told["packages"]["numpy"] == version("numpy")
    assert told["working_directory"] == str(Path.cwd())
    assert told["cpu"]["model"]
    assert told["cpu"]["torch"]
    assert {one["user_api"] for one in told["threads"]} >= {"blas", "torch"}
    assert all(one["num_threads"] >= 1 for one in told["threads"])
    assert (told["cuda"] is None) == (told["gpus"] == [])


def test_all_installed_packages_are_listed_by_name():
    told = installed()

    assert told["torch"] == version("torch")
    assert told["scikit-learn"] == version("scikit-learn")
    assert list(told) == sorted(told)
    assert attachments()["environment.txt"].splitlines() == [f"{name}=={number}" for name, number in told.items()]


def test_a_broken_installation_fails_no_run(tmp_path, monkeypatch):
    import importlib_metadata  # noqa: F401  once imported, it finds distributions in the standard library's place

    (tmp_path / "broken-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)

    assert "torch" in installed()


def test_uncommitted_changes_are_attached(monkeypatch):
    monkeypatch.setattr(module, "checkout", lambda _: Checkout("abc-dirty", "diff --git a/x b/x\n"))

    told = environment()

    assert attachments()["git.diff"] == "diff --git a/x b/x\n"
    assert told["git_commit"] == "abc-dirty"
    assert told["git_diff"]["file"] == "git.diff"
    assert re.fullmatch("[0-9a-f]{64}", told["git_diff"]["sha256"])


def test_nothing_is_attached_where_nothing_is_changed(monkeypatch):
    monkeypatch.setattr(module, "checkout", lambda _: Checkout("abc", ""))

    assert list(attachments()) == ["environment.txt"]
    assert environment()["git_diff"] is None


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "BRAINEXP_API_KEY", "HF_HUB_AUTH", "TORCH_SECRET", "MKL_PASSWORD", "CUDA_CREDENTIALS", "HF_tokens"],
)
def test_secrets_of_the_shell_are_named_but_not_recorded(monkeypatch, name):
    monkeypatch.setenv(name, "hunter2")

    told = environment()

    assert told["variables"][name] == HIDDEN
    assert "hunter2" not in json.dumps(told)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "GITHUB_TOKEN", "HOME", "PATH"])
def test_settings_that_change_no_number_are_not_even_named(monkeypatch, name):
    monkeypatch.setenv(name, "hunter2")

    assert name not in environment()["variables"]
    assert "hunter2" not in json.dumps(environment())


@pytest.mark.parametrize(
    "name",
    ["OMP_NUM_THREADS", "MKL_CBWR", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "HF_HUB_OFFLINE", "BRAINEXP_CACHE",
     "PYTHONHASHSEED", "TOKENIZERS_PARALLELISM"],
)  # fmt: skip
def test_settings_that_can_change_a_number_are_recorded(monkeypatch, name):
    monkeypatch.setenv(name, "3")

    assert environment()["variables"][name] == "3"


def test_addresses_lose_names_and_passwords_wherever_they_stand(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://me:hunter2@mirror/x")
    monkeypatch.setattr(sys, "argv", ["brainexp", "tracking.uri=https://me:hunter2@tracker:5000"])

    told = environment()

    assert "hunter2" not in json.dumps(told)
    assert told["command"] == ["tracking.uri=https://***@tracker:5000"]
    assert told["variables"]["HF_ENDPOINT"] == "https://***@mirror/x"


def test_a_config_keeps_everything_but_credentials():
    config = {"tracking": {"uri": "postgresql://me:hunter2@host/db"}, "encoder": {"alphas": [1, 10.0], "x": None}}

    assert public(config) == {
        "tracking": {"uri": "postgresql://***@host/db"},
        "encoder": {"alphas": [1, 10.0], "x": None},
    }


def test_a_machine_that_tells_nothing_fails_no_run(monkeypatch):
    read_text = module.Path.read_text

    def refuse(*args, **options):
        raise OSError

    def elsewhere(path, *args, **options):
        return refuse() if str(path).startswith("/proc") else read_text(path, *args, **options)

    monkeypatch.setattr(module.Path, "read_text", elsewhere)
    monkeypatch.setattr(module.platform, "freedesktop_os_release", refuse)

    told = environment()

    assert told["cpu"]["instructions"] == []
    assert told["os"]
