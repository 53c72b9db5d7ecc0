"""Commit and uncommitted changes of the code that runs, in repositories made on the spot."""

import subprocess

import pytest

from brainexp import checkout as module
from brainexp.checkout import MAX_DIFF_BYTES, checkout, shortened


def git(folder, *words):
    named = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", "-C", folder, *named, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def package(tmp_path):
    """A package of two files in a repository, with configs and a README beside it."""
    folder = tmp_path / "repository" / "package"
    folder.mkdir(parents=True)
    (folder.parent / "conf").mkdir()
    (folder / "one.py").write_text("x = 1\n")
    (folder / "two.py").write_text("y = 2\n")
    (folder.parent / "conf" / "config.yaml").write_text("z: 3\n")
    (folder.parent / "README.md").write_text("hello\n")
    git(folder, "init", "-q", str(folder.parent))
    git(folder, "add", "-A", str(folder.parent))
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_checkout_has_its_commit_and_no_diff(package):
    found = checkout(package)

    assert found.commit == git(package, "rev-parse", "HEAD").strip()
    assert found.diff == ""


def test_changes_of_package_and_configs_are_told_and_can_be_applied(package, tmp_path):
    (package / "one.py").write_text("x = 10\n")
    (package / "new.py").write_text("w = 4\n")
    (package.parent / "conf" / "config.yaml").write_text("z: 30\n")
    (package.parent / "README.md").write_text("other words\n")

    found = checkout(package)

    assert found.commit == git(package, "rev-parse", "HEAD").strip() + "-dirty"
    assert "README" not in found.diff
    copy = tmp_path / "copy"
    git(package, "clone", "-q", str(package.parent), str(copy))
    (tmp_path / "git.diff").write_text(found.diff)
    git(copy, "apply", str(tmp_path / "git.diff"))
    assert (copy / "package" / "one.py").read_text() == "x = 10\n"
    assert (copy / "package" / "new.py").read_text() == "w = 4\n"
    assert (copy / "conf" / "config.yaml").read_text() == "z: 30\n"


def test_a_new_file_alone_makes_the_checkout_dirty(package):
    (package / "new.py").write_text("w = 4\n")

    assert checkout(package).commit.endswith("-dirty")


def test_ignored_files_are_no_changes(package):
    (package.parent / ".git" / "info" / "exclude").write_text("secret.py\n")
    (package / "secret.py").write_text("token = 1\n")

    assert checkout(package) == module.Checkout(git(package, "rev-parse", "HEAD").strip(), "")


def test_the_state_is_that_of_the_first_call(package):
    first = checkout(package)
    (package / "one.py").write_text("x = 10\n")

    assert checkout(package) is first


def test_programs_that_the_users_settings_name_are_not_run(package):
    git(package, "config", "diff.external", "touch " + str(package / "was_run"))
    (package / "one.py").write_text("x = 10\n")

    assert "+x = 10" in checkout(package).diff
    assert not (package / "was_run").exists()


def test_outside_of_git_nothing_is_told(tmp_path):
    (tmp_path / "one.py").write_text("x = 1\n")

    assert checkout(tmp_path) == module.Checkout(None, "")


def test_a_package_that_only_lies_inside_a_repository_is_none_of_its_commits(package):
    installed = package.parent / "venv" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "one.py").write_text("x = 1\n")

    assert checkout(installed) == module.Checkout(None, "")


def test_a_repository_without_commits_fails_no_run(tmp_path):
    (tmp_path / "one.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q", str(tmp_path))
    git(tmp_path, "add", "one.py")

    assert checkout(tmp_path) == module.Checkout(None, "")


def test_no_git_fails_no_run(package, monkeypatch):
    monkeypatch.setenv("PATH", "")

    assert checkout(package) == module.Checkout(None, "")


def test_a_long_diff_is_cut_at_a_line_and_says_so():
    diff = "".join(f"+line {number}\n" for number in range(200_000))

    told = shortened(diff)

    first, *lines = told.splitlines()
    assert first.startswith("CUT: the first ")
    assert f"of {len(diff):,} bytes" in first
    assert len(told) < MAX_DIFF_BYTES + 200
    assert lines == diff.splitlines()[: len(lines)]
    assert shortened("+short\n") == "+short\n"


def test_very_many_new_files_are_named_but_not_shown(package, monkeypatch):
    monkeypatch.setattr(module, "MAX_NEW_FILES", 1)
    for name in ("a.py", "b.py"):
        (package / name).write_text("v = 5\n")

    diff = checkout(package).diff

    assert diff.count("+v = 5") == 1
    assert diff.startswith("new file, not shown: package/b.py\n")
