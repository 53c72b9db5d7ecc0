import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from brainexp.containers import Clock, Design, Flatmap, Fold, Layers, Passage, Responses, Space, Stimulus
from brainexp.errors import BrainexpError, DataError

CLOCK = Clock(start_s=10.0, tr_s=2.0, n_trs=5)
AFFINE = np.eye(4)


def stimulus(onset_s=(0.0, 1.0, 2.0), offset_s=(0.5, 1.5, 2.5), units=("a", "sly", "fox")) -> Stimulus:
    return Stimulus(story="fable", units=units, onset_s=np.array(onset_s), offset_s=np.array(offset_s))


def responses(values: np.ndarray, **nuisance: np.ndarray) -> Responses:
    return Responses(subject="s1", story="fable", values=values, clock=CLOCK, nuisance=nuisance)


def test_a_clock_knows_its_end_and_the_middle_of_each_tr():
    assert CLOCK.end_s == 20.0
    np.testing.assert_allclose(CLOCK.midpoints_s(), [11, 13, 15, 17, 19])


def test_a_stimulus_knows_the_middle_of_each_word():
    np.testing.assert_allclose(stimulus().midpoint_s, [0.25, 1.25, 2.25])


def test_words_may_overlap_begin_together_and_last_no_time():
    told = stimulus(onset_s=(1.0, 1.0, 2.0), offset_s=(3.0, 1.0, 2.0))

    np.testing.assert_allclose(told.midpoint_s, [2.0, 1.0, 2.0])


def test_a_story_without_words_is_refused():
    with pytest.raises(DataError, match=r"story 'fable' has no words\. Check its transcript\."):
        stimulus((), (), ())


@pytest.mark.parametrize(
    ("onset_s", "offset_s", "said"),
    [
        ((0.0, 1.0), (0.5, 1.5, 2.5), r"3 words but \(2,\) onsets and \(3,\) offsets"),
        ((0.0, 1.0, 2.0), (0.5, 1.5), r"3 words but \(3,\) onsets and \(2,\) offsets"),
        (((0.0,), (1.0,), (2.0,)), (0.5, 1.5, 2.5), r"3 words but \(3, 1\) onsets"),
    ],
)
def test_each_word_needs_one_onset_and_one_offset(onset_s, offset_s, said):
    with pytest.raises(DataError, match=rf"story 'fable' has {said}.*Each word needs one of each\."):
        stimulus(onset_s, offset_s)


def test_a_word_before_its_predecessor_is_refused_in_words():
    expected = (
        "story 'fable': word 2 ('fox') runs from 0.5 s to 2.5 s, after a word that began at 1.0 s. "
        "Times must be finite and in order. Correct the transcript."
    )

    with pytest.raises(DataError, match=re.escape(expected)):
        stimulus(onset_s=(0.0, 1.0, 0.5))


def test_a_word_that_ends_before_it_starts_is_refused():
    with pytest.raises(DataError, match=r"word 1 \('sly'\) runs from 1\.0 s to 0\.9 s"):
        stimulus(offset_s=(0.5, 0.9, 2.5))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_times_that_are_not_finite_are_refused(wrong, at):
    onset_s, offset_s = [0.0, 1.0, 2.0], [0.5, 1.5, 2.5]
    onset_s[at] = wrong

    with pytest.raises(DataError, match="Times must be finite and in order"):
        stimulus(onset_s=onset_s)

    offset_s[at] = wrong
    with pytest.raises(DataError, match=rf"word {at} .* to (nan|inf|-inf) s"):
        stimulus(offset_s=offset_s)


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_an_empty_word_is_refused(blank):
    with pytest.raises(DataError, match=r"story 'fable': word 1 is empty\. Remove it from the transcript\."):
        stimulus(units=("a", blank, "fox"))


def test_responses_may_have_nan_and_keep_it():
    values = np.full((5, 2), np.nan)

    kept = responses(values, motion=np.zeros((5, 6))).values

    assert np.isnan(kept).all()


@pytest.mark.parametrize("shape", [(4, 2), (6, 2), (5,), (5, 2, 2)])
def test_responses_need_one_row_per_tr(shape):
    expected = (
        f"subject 's1', story 'fable': responses have shape {shape}, but the clock has 5 TRs. One row per TR is needed."
    )

    with pytest.raises(DataError, match=re.escape(expected)):
        responses(np.zeros(shape))


@pytest.mark.parametrize("shape", [(4, 1), (5,)])
def test_nuisance_regressors_need_one_row_per_tr(shape):
    expected = (
        f"subject 's1', story 'fable': nuisance 'motion' has shape {shape}, but there are 5 TRs. "
        "One row per TR is needed."
    )

    with pytest.raises(DataError, match=re.escape(expected)):
        responses(np.zeros((5, 2)), motion=np.zeros(shape))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_nuisance_regressors_must_be_finite(wrong):
    broken = np.zeros((5, 2))
    broken[3, 1] = wrong

    with pytest.raises(DataError, match=r"nuisance 'motion' has NaN or infinite values\. Repair its file\."):
        responses(np.zeros((5, 2)), pulse=np.zeros((5, 1)), motion=broken)


def stored(folder, values):
    files = tuple(folder / f"{layer}.npy" for layer in range(len(values)))
    for file, layer in zip(files, values, strict=True):
        np.save(file, layer)
    return Layers(files, *values.shape[1:])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_layers_are_read_as_an_array_would_be_and_always_in_float32(tmp_path, rng, dtype):
    values = rng.standard_normal((3, 5, 2)).astype(dtype)

    layers = stored(tmp_path, values)

    assert layers.shape == (3, 5, 2)
    assert len(layers) == 3
    for at in (0, 1, -1):
        np.testing.assert_array_equal(layers[at], values[at])
        assert layers[at].dtype == np.float32
    np.testing.assert_array_equal(np.asarray(layers), values)
    np.testing.assert_array_equal(np.stack(list(layers)), values)
    assert np.asarray(layers).dtype == np.float32
    assert repr(layers) == "Layers(n_units=5, n_dims=2)"


def test_layers_are_mapped_into_memory_and_cannot_be_written(tmp_path, rng):
    layer = stored(tmp_path, rng.standard_normal((1, 5, 2)).astype(np.float32))[0]

    assert isinstance(layer, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        layer[0, 0] = 1.0


def test_layers_hold_no_file_open(tmp_path, rng):
    """A study has thousands of layers, a process often 1,024 descriptors."""
    layers = stored(tmp_path, rng.standard_normal((40, 3, 2)).astype(np.float32))
    before = len(list(Path("/dev/fd").iterdir()))

    total = sum(float(layer.sum()) for layer in layers)

    assert np.isfinite(total)
    assert len(list(Path("/dev/fd").iterdir())) <= before + 1


def test_a_layer_that_was_removed_meanwhile_is_named(tmp_path, rng):
    layers = stored(tmp_path, rng.standard_normal((2, 3, 2)).astype(np.float32))
    layers.files[1].unlink()

    with pytest.raises(DataError, match=r"1.npy was there when the run began and is gone. Run again, and prune"):
        layers[1]


@pytest.mark.parametrize("columns", [[], [-1], [0, 4], [7]])
def test_a_roi_needs_columns_of_the_responses(columns):
    roi = {"IFG": np.array([0]), "A1": np.array(columns, dtype=int)}

    with pytest.raises(DataError, match=r"ROI 'A1' must name at least one of the columns 0..3, and no other; it names"):
        Space(kind="surface", n_voxels=4, rois=roi, mesh="mine")


@pytest.mark.parametrize(
    ("mask", "affine"),
    [(None, AFFINE), (np.ones((2, 2, 1), bool), None), (np.ones((2, 2, 2), bool), AFFINE), (None, None)],
)
def test_a_volume_needs_an_affine_and_a_mask_of_its_voxels(mask, affine):
    with pytest.raises(DataError, match=r"a volume needs an affine and a mask with 4 true voxels\."):
        Space(kind="volume", n_voxels=4, rois={}, mask=mask, affine=affine)


@pytest.mark.parametrize("coordinates_mm", [None, np.zeros((3, 3)), np.zeros((4, 2))])
def test_a_space_of_rois_needs_a_coordinate_each(coordinates_mm):
    with pytest.raises(DataError, match=r"a space of ROIs needs coordinates of shape \(4, 3\), in mm\."):
        Space(kind="rois", n_voxels=4, rois={}, coordinates_mm=coordinates_mm)


def test_a_surface_needs_a_mesh():
    with pytest.raises(DataError, match=r"a surface needs the name of its mesh, such as 'fsaverage5'\."):
        Space(kind="surface", n_voxels=4, rois={})


def test_spaces_of_each_kind_are_made_from_what_they_need():
    roi = {"A1": np.array([0, 3])}

    spaces = [
        Space(kind="volume", n_voxels=4, rois=roi, mask=np.ones((2, 2, 1), bool), affine=AFFINE),
        Space(kind="rois", n_voxels=4, rois=roi, coordinates_mm=np.zeros((4, 3))),
        Space(kind="surface", n_voxels=4, rois=roi, mesh="mine"),
    ]

    assert [space.kind for space in spaces] == ["volume", "rois", "surface"]


def test_containers_cannot_be_changed_after_they_were_checked():
    told = stimulus()

    with pytest.raises(dataclasses.FrozenInstanceError):
        told.units = ()


def test_containers_of_arrays_are_equal_to_themselves_alone():
    fold = Fold(train=np.arange(3), test=np.arange(3, 5), inner=())
    other = Fold(train=np.arange(3), test=np.arange(3, 5), inner=())

    assert stimulus() != stimulus()
    assert fold == fold  # noqa: PLR0124
    assert fold != other


def test_a_mistake_in_the_data_is_one_that_the_user_can_mend():
    assert issubclass(DataError, BrainexpError)


def test_a_design_counts_its_rows_after_trimming_and_its_columns_with_delays():
    runs = (np.zeros((6, 3)), np.zeros((4, 3)))

    design = Design("space", runs, (slice(1, 5), slice(0, 4)), (1, 2))

    assert design.n_rows == 8
    assert design.n_features == 6


def test_rows_of_a_design_draw_on_earlier_trs_of_their_own_run():
    design = Design("space", (np.zeros((5, 1)), np.zeros((3, 1))), (slice(1, 5), slice(0, 3)), (0, 2))

    np.testing.assert_array_equal(design.sources(), [[1, 2, 3, 4, 5, 6, 7], [-1, 0, 1, 2, -1, -1, 5]])


def test_a_passage_without_stretches_is_one_stretch():
    assert Passage("a b").parts == ((0, 3),)
    assert Passage("a b", ((2, 3), (0, 1))).parts == ((2, 3), (0, 1))


@pytest.mark.parametrize(
    ("text", "stretches", "message"),
    [
        (" ", (), "a passage has no words"),
        ("a b", ((0, 4),), "characters 0 to 4 are no part of 'a b'.* it has 3 characters"),
        ("a b", ((1, 1),), "characters 1 to 1"),
        ("a b", ((1, 2),), "characters 1 to 2"),
    ],
)
def test_impossible_stretches_are_refused(text, stretches, message):
    with pytest.raises(DataError, match=message):
        Passage(text, stretches)


def mapped(weights, **options):
    return Space(kind="surface", n_voxels=weights.shape[1], rois={}, mesh="mine", mapper=csr_array(weights), **options)


def test_values_are_brought_to_places_as_the_matrix_says(rng):
    weights, values = rng.random((6, 4)), rng.standard_normal(4)
    weights[2] = 0

    placed = mapped(weights).placed(values)

    np.testing.assert_allclose(np.delete(placed, 2), np.delete(weights @ values, 2))
    assert np.isnan(placed[2])  # no column is there


def test_known_columns_take_the_part_of_unknown_ones():
    weights = np.array([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6], [1.0, 0.0, 0.0]])

    placed = mapped(weights).placed(np.array([np.nan, 3.0, 1.0]))

    np.testing.assert_allclose(placed, [3.0, (0.2 * 3 + 0.6) / 0.8, np.nan])


def test_columns_that_are_places_stay_as_they_are(rng):
    values = rng.standard_normal(4)

    assert Space(kind="surface", n_voxels=4, rois={}, mesh="mine").placed(values) is values


def test_maps_are_of_the_same_places_though_columns_differ():
    one, other = mapped(np.eye(4)[:, :3]), mapped(np.eye(4)[:, :2])

    assert one.same_places(other)
    assert not one.same_columns(other)
    assert one.same_columns(mapped(np.eye(4)[:, :3]))
    assert not one.same_columns(mapped(np.eye(4)[:, 1:]))


def test_columns_without_places_correspond_where_each_is_a_region_of_the_same_name():
    def of(*names, n_voxels=2):
        return Space("unplaced", n_voxels, {name: np.array([at]) for at, name in enumerate(names)})

    assert of("IFG", "MFG").same_columns(of("IFG", "MFG"))
    assert not of("IFG", "MFG").same_columns(of("MFG", "IFG"))
    assert not of("IFG", "MFG", n_voxels=3).same_columns(of("IFG", "MFG", n_voxels=3))  # one has no name
    assert not Space("unplaced", 2, {}).same_columns(Space("unplaced", 2, {}))
    pooled = Space("unplaced", 2, {"IFG": np.arange(2), "MFG": np.array([1])})
    assert not pooled.same_columns(pooled)
    assert not of("IFG", "MFG").same_places(of("IFG", "MFG"))


def test_equal_indices_in_two_subjects_own_volumes_are_different_places():
    volume = {"kind": "volume", "n_voxels": 4, "rois": {}, "mask": np.ones((2, 2, 1), bool), "affine": AFFINE}

    assert Space(**volume).same_columns(Space(**volume))
    assert not Space(**volume, frame="native").same_places(Space(**volume, frame="native"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mesh": "fsaverage6"},
            r"fsaverage6 has 2 × 40962 vertices, but there are 20484 places. Name the right one of",
        ),
        ({"mapper": csr_array(np.ones((20484, 3)))}, "the mapper has weights for 3 columns, but there are 20484"),
        (
            {"flatmap": Flatmap(csr_array(np.ones((4, 3))), np.ones((2, 2), bool))},
            "the flatmap has weights for 3 columns, but there are 20484",
        ),
        (
            {"rois": {"IFG": np.arange(4)}, "areas": {"IFG": (np.arange(2),)}},
            "the areas of ROI 'IFG' must have its columns, each once, and no other",
        ),
        ({"areas": {"IFG": (np.arange(2),)}}, "the areas of ROI 'IFG' must have its columns"),
    ],
)
def test_parts_of_a_space_that_do_not_fit_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        Space(**{"kind": "surface", "n_voxels": 20484, "rois": {}, "mesh": "fsaverage5"} | options)


def test_a_flatmap_has_a_row_per_pixel():
    with pytest.raises(DataError, match="as many rows as its mask has pixels, but there are 4 and 3"):
        Flatmap(csr_array(np.ones((4, 3))), np.array([[True, True], [True, False]]))
