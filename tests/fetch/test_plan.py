"""Nothing of others is touched, and nothing lies elsewhere."""

import pytest

from brainexp.errors import ConfigError, DataError
from brainexp.fetch.plan import carried_out, inside, planned
from brainexp.fetch.transfer import PARTIAL
from tests.fetch.server import WEB, left

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_a_second_fetch_into_the_same_folder_waits_for_nobody(bucket, tmp_path):
    from filelock import FileLock

    plan = planned(list(bucket.files(WEB, "raw/")), tmp_path)

    with FileLock(tmp_path / ".brainexp-fetch.lock"), pytest.raises(ConfigError, match="another fetch is at work in"):
        carried_out(plan, WEB, 2, lambda _: None)


def test_an_interrupt_keeps_what_came(bucket, tmp_path, store):
    plan = planned(list(bucket.files(WEB, "derivatives/resp/")), tmp_path)
    all_bytes = plan.n_bytes
    came = []

    def interrupt(n_bytes):
        came.append(n_bytes)
        if len(came) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carried_out(plan, WEB, 1, interrupt)

    assert [path for path in left(tmp_path) if path.endswith(PARTIAL)]
    assert planned(list(bucket.files(WEB, "derivatives/resp/")), tmp_path).n_bytes < all_bytes


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "", "a\\..\\b", "C:/b"])
def test_a_store_cannot_write_outside_of_the_folder(tmp_path, path):
    with pytest.raises(DataError, match="would lie outside of"):
        inside(tmp_path, path)


def test_a_link_that_leads_outside_is_not_followed(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "link").symlink_to(tmp_path)

    with pytest.raises(DataError, match="would lie outside of"):
        inside(tmp_path / "toy", "link/a")
