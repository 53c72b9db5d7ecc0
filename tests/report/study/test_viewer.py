import base64

import numpy as np
import pytest

from brainexp.containers import Space
from brainexp.report.study.maps import BrainMap, BrainMaps, brain_maps, shades_of, shares
from brainexp.report.study.viewer import NOTHING, viewer
from brainexp.settings import Scoring
from tests.report.study.conftest import SUBJECTS, leave


def decoded(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def rois(n_places=6):
    places = np.arange(3.0 * n_places).reshape(n_places, 3)
    return Space(kind="rois", n_voxels=n_places, rois={}, coordinates_mm=places)


def test_values_come_back_from_their_codes_within_a_step():
    values = np.array([0.0, 0.1, 0.25, 0.3, np.nan, -0.05])
    told = viewer(BrainMaps(rois(), (BrainMap("mean_0", "mean", "gpt2", values),), "mean"))

    (one,) = told["maps"]
    codes = decoded(one["values"], "u1")
    assert codes[4] == NOTHING
    back = one["low"] + codes[[0, 1, 2]] / 253 * (one["high"] - one["low"])
    assert back == pytest.approx(values[[0, 1, 2]], abs=0.002)
    assert codes[5] == 0  # below the scale
    assert codes[3] == 253
    assert len(one["palette"]) == 254
    assert decoded(told["y"], "<f4").tolist() == [1, 4, 7, 10, 13, 16]


def test_maps_of_one_kind_share_a_scale_and_differences_are_white_at_zero():
    small, large = (BrainMap(str(top), "difference", "x", np.linspace(-top, top, 6)) for top in (0.01, 0.1))

    told = viewer(BrainMaps(rois(), (small, large), "mean"))["maps"]

    assert {(one["low"], one["high"]) for one in told} == {(-told[0]["high"], told[0]["high"])}
    assert told[0]["high"] == pytest.approx(0.1, rel=0.05)
    middle = told[0]["palette"][127].lstrip("#")
    assert min(int(middle[at : at + 2], 16) for at in (0, 2, 4)) > 240


def test_classes_have_colours_of_their_own_and_nobody_is_pale():
    one = BrainMap("winner_0", "winner", "models", np.array([0, 1, 2, np.nan, 0, 2.0]), ("gpt2", "bert"))

    (told,) = viewer(BrainMaps(rois(), (one,), "mean"))["maps"]

    assert decoded(told["values"], "u1").tolist() == [0, 1, 2, NOTHING, 0, 2]
    assert told["classes"] == ["no clear winner", "gpt2", "bert"]
    assert len(set(told["palette"])) == 3
    assert shares(one) == {"no clear winner": 0.4, "gpt2": 0.2, "bert": 0.4}
    assert shades_of(one, [one]).classes == ("no clear winner", "gpt2", "bert")


def test_a_mesh_has_both_hemispheres_apart_and_their_own_values():
    values = np.full(2 * 10242, np.nan)
    values[[5, 10242 + 7]] = 0.2, 0.4
    space = Space(kind="surface", n_voxels=2 * 10242, rois={}, mesh="fsaverage5")

    told = viewer(BrainMaps(space, (BrainMap("mean_0", "mean", "gpt2", values),), "mean"))

    x, faces = decoded(told["x"], "<f4"), decoded(told["faces"], "<u2").reshape(-1, 3)
    assert x[:10242].max() < 0 < x[10242:].min()
    assert faces.max() == 2 * 10242 - 1
    assert {tuple(face < 10242) for face in faces} == {(True,) * 3, (False,) * 3}
    codes = decoded(told["maps"][0]["values"], "u1")
    assert np.flatnonzero(codes != NOTHING).tolist() == [5, 10249]


def test_finer_meshes_are_shown_at_their_first_vertices():
    values = np.arange(2.0 * 40962) / (2 * 40962)
    space = Space(kind="surface", n_voxels=2 * 40962, rois={}, mesh="fsaverage6")

    told = viewer(BrainMaps(space, (BrainMap("mean_0", "mean", "gpt2", values),), "mean"))

    codes = decoded(told["maps"][0]["values"], "u1")
    assert len(codes) == 2 * 10242
    assert codes[10242] > codes[10241] + 90  # the right hemisphere begins at half of the values


def test_maps_are_of_the_subjects_whom_all_runs_have(tmp_path):
    from brainexp.report.sweep import records

    leave(tmp_path / "0", "tiny-1M", kind="rois")
    leave(tmp_path / "1", "tiny-1M", "rtn", kind="rois", subjects=SUBJECTS[1:4], loss=0.02)
    runs = records(tmp_path)

    found, reason = brain_maps(runs, Scoring())

    assert reason == ""
    assert found.note == "mean over 3 subjects whom all runs have"
    (change,) = [one for one in found.maps if one.group == "difference"]
    assert change.values.mean() == pytest.approx(-0.02, abs=0.01)


def test_runs_in_other_spaces_have_no_maps(tmp_path):
    from brainexp.report.sweep import records

    leave(tmp_path / "0", "tiny-1M", kind="rois")
    leave(tmp_path / "1", "tiny-3M", kind="fsaverage5")

    assert brain_maps(records(tmp_path), Scoring()) == (
        None, "subjects or runs lie in different spaces, so that no place is the same in all",
    )  # fmt: skip
