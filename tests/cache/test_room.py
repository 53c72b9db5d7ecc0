import shutil

import numpy as np
import pytest

from brainexp.cache import ArrayCache, features_cost, require_room
from brainexp.errors import ConfigError


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_cost_is_what_files_take_but_for_their_headers(tmp_path, dtype):
    def fill(write):
        write(np.arange(70), np.zeros((3, 70, 16), np.float32))
        return {}

    layers, _ = ArrayCache(tmp_path, dtype).get_or_put({}, (3, 70, 16), fill, {})

    assert sum(file.stat().st_size for file in layers.files) == features_cost(3, 70, 16, dtype) + 3 * 128


def test_what_fits_is_let_through_with_what_is_free(tmp_path):
    free = shutil.disk_usage(tmp_path).free

    assert require_room(tmp_path / "not" / "yet" / "there", 10, "") == pytest.approx(free, rel=0.01)


def test_what_does_not_fit_is_refused_with_what_to_change(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"the features need 1.0 PB \(9 layers\), but .* free. Halve them with cache.dtype=float16, give cache.dir= "
        r"a folder on a larger disk, or make room with python -m brainexp.cache prune",
    ):
        require_room(tmp_path / "cache", 10**15, "9 layers")
