import shutil

import numpy as np
import pytest

from brainexp.dataset.alice import DROPPED_TRS, ROIS, SUBJECTS, Alice
from brainexp.errors import ConfigError, DataError

pytestmark = pytest.mark.data

#: Leave-one-out inter-subject correlations of the 6 mm release, computed elsewhere.
PUBLISHED_ISC = (0.333, 0.260, 0.430, 0.285, 0.261, 0.200)


@pytest.fixture
def alice(alice_root):
    return Alice(root=str(alice_root))


@pytest.fixture
def copy(alice_root, tmp_path):
    """A copy that may be damaged."""
    shutil.copytree(alice_root, tmp_path / "alice", copy_function=shutil.copyfile)
    for path in (tmp_path / "alice").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "alice"


def test_the_chapter_has_its_2127_words_in_order(alice):
    (stimulus,) = alice.stimuli()

    assert len(stimulus.units) == 2127
    assert stimulus.units[:5] == ("Alice", "was", "beginning", "to", "get")
    assert "sp" not in stimulus.units
    assert all(unit == unit.strip() for unit in stimulus.units)


def test_ceilings_are_the_known_inter_subject_correlations(alice_root):
    """They were computed elsewhere after a polynomial of fifth order was removed; without it they are lower."""
    alice = Alice(root=str(alice_root), detrend_order=5)

    ceilings = np.mean([alice.ceiling(subject) for subject in SUBJECTS], axis=0)

    np.testing.assert_allclose(ceilings, PUBLISHED_ISC, atol=6e-4)


def test_an_order_that_would_remove_the_response_is_refused():
    with pytest.raises(ConfigError, match=r"detrend_order must lie in 0..19 or be null, got 50"):
        Alice(detrend_order=50)


def test_word_times_and_scans_share_a_clock(alice):
    """The authors' word rate, convolved with a response, follows words counted on our clock, and on no shifted one."""
    from scipy.stats import gamma

    from brainexp.align.baseline import word_rate

    (stimulus,), (run,) = alice.stimuli(), alice.responses("s18")
    seconds = np.arange(0, 30, run.clock.tr_s)
    response = gamma.pdf(seconds, 6) - gamma.pdf(seconds, 16) / 6
    counted = np.convolve(word_rate(stimulus.midpoint_s, run.clock)[:, 0], response)[: run.clock.n_trs]
    published = run.nuisance["hrf_word_rate"][:, 0]
    r = {shift: np.corrcoef(np.roll(counted, shift)[20:-20], published[20:-20])[0, 1] for shift in range(-5, 6)}

    assert max(r, key=r.get) in (-1, 0, 1)
    assert r[0] > 0.8


def test_motion_lacks_the_dropped_volumes(alice, alice_root):
    (file,) = (alice_root / "alice_data_shared").glob("s18-rp_*.txt")

    motion = alice.responses("s18")[0].nuisance["motion"]

    np.testing.assert_array_equal(motion, np.loadtxt(file)[DROPPED_TRS:])


def test_the_constant_subject_is_refused_with_the_reason(alice_root):
    with pytest.raises(ConfigError, match="subject 's33' of alice cannot be analysed: its time courses are zero"):
        Alice(root=str(alice_root), subjects=("s18", "s33")).chosen_subjects()


def test_an_unknown_subject_is_refused_with_the_nearest_name(alice_root):
    with pytest.raises(ConfigError, match="unknown subject 's188' of alice. Did you mean 's18'"):
        Alice(root=str(alice_root), subjects="s188").chosen_subjects()


def test_a_missing_root_says_how_to_get_the_data(tmp_path):
    with pytest.raises(
        DataError, match=r"dataset.root is not set\. Download .*10.1016/j.bandl.2016.04.008.*dataset.root=FOLDER"
    ):
        Alice().stimuli()
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        Alice(root=str(tmp_path / "nowhere")).stimuli()


def test_a_missing_file_is_named(copy):
    (copy / "alice_data_shared" / "6mm" / "s22-timecourses.txt").unlink()

    with pytest.raises(DataError, match=r"missing file .*6mm/s22-timecourses.txt"):
        Alice(root=str(copy)).responses("s22")


def test_a_truncated_file_is_told_by_its_rows(copy):
    path = copy / "alice_data_shared" / "6mm" / "s22-timecourses.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:300]))

    with pytest.raises(DataError, match=r"has 300 rows and 6 columns, but 362 and 6 are declared: it is truncated"):
        Alice(root=str(copy)).responses("s22")


def test_a_file_cut_in_the_middle_of_a_line_is_told(copy):
    path = copy / "alice_data_shared" / "6mm" / "s22-timecourses.txt"
    path.write_text(path.read_text()[:10_000])

    with pytest.raises(DataError, match=r"s22-timecourses.txt (is damaged|has \d+ rows)"):
        Alice(root=str(copy)).responses("s22")


def test_a_pointer_of_git_annex_is_told_from_data(copy):
    path = copy / "alice_data_shared" / "6mm" / "s22-timecourses.txt"
    path.write_text("../../.git/annex/objects/xx/yy/SHA256E-s35114--0c28.txt")

    with pytest.raises(DataError, match="is a pointer of git-annex or git-lfs, not the data. Fetch it: datalad get"):
        Alice(root=str(copy)).responses("s22")


def test_the_ten_millimetre_spheres_are_taken_where_they_are(copy):
    shutil.copytree(copy / "alice_data_shared" / "6mm", copy / "alice_data_shared" / "10mm")

    (run,) = Alice(root=str(copy), radius_mm=10).responses("s18")

    assert run.values.shape == (362, len(ROIS))
