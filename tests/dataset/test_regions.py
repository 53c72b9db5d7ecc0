import numpy as np
import pytest

from brainexp.dataset.regions import (
    BRAIN_CENTRE_MM,
    BRAIN_RADII_MM,
    N_CENTRES,
    REGIONS,
    nearest_region,
    surface,
    volume,
)
from brainexp.errors import ConfigError


def test_a_volume_has_as_many_voxels_as_asked_for_around_the_centres():
    space, region = volume(440, 4.0)
    places = np.argwhere(space.mask) @ space.affine[:3, :3] + space.affine[:3, 3]

    assert space.mask.shape == (46, 55, 46)
    assert len(region) == 440
    assert sum(len(columns) for columns in space.rois.values()) == 440
    for name, one in REGIONS.items():
        away = np.min([np.linalg.norm(places[space.rois[name]] - centre, axis=1) for centre in one.centres_mm], axis=0)
        assert away.max() < 12, name


def test_at_full_scale_regions_meet_and_do_not_overlap():
    space, region = volume(90_000, 2.0)
    columns = np.concatenate(list(space.rois.values()))

    assert len(np.unique(columns)) == len(columns) == 90_000
    assert np.bincount(region, minlength=len(REGIONS)).min() > 1000


def test_centres_lie_in_the_brain_and_pairs_on_both_sides():
    for one in REGIONS.values():
        for centre in one.centres_mm:
            assert (((np.array(centre) - BRAIN_CENTRE_MM) / BRAIN_RADII_MM) ** 2).sum() < 1
        assert len(one.centres_mm) == 1 or one.centres_mm[0][0] < 0 < one.centres_mm[1][0]


def test_a_surface_keeps_to_the_hemisphere_of_the_centre():
    space, region = surface(440, "fsaverage5")

    assert space.n_voxels == len(region) == 20484
    assert (region >= 0).sum() == 440
    assert space.rois["IFG"].max() < 10242  # the left hemisphere comes first
    assert space.rois["A1"].max() >= 10242
    assert min(len(columns) for columns in space.rois.values()) >= 10


def test_nearest_region_is_a_naive_search():
    rng = np.random.default_rng(0)
    centres = [(number, centre) for number, one in enumerate(REGIONS.values()) for centre in one.centres_mm]
    places = np.vstack([[centre for _, centre in centres], rng.uniform(-60, 60, (300, 3))])
    found = nearest_region(places, 60)

    def nearest(place):
        same_side = [
            (np.linalg.norm(place - centre), number) for number, centre in centres if place[0] * centre[0] >= 0
        ]
        return min(same_side)

    ranked = sorted(range(len(places)), key=lambda at: nearest(places[at])[0])[:60]
    expected = np.full(len(places), -1)
    expected[ranked] = [nearest(places[at])[1] for at in ranked]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: volume(90_000, 4.0),
            r"n_voxels=90000, but a grid of 4 mm has \d+ places in the brain. Lower dataset.voxel_mm",
        ),
        (
            lambda: surface(30_000, "fsaverage5"),
            "n_voxels=30000, but fsaverage5 has 20484 vertices. Lower dataset.n_voxels",
        ),
        (lambda: volume(5, 4.0), f"n_voxels must be at least {N_CENTRES}, one for each centre, got 5"),
    ],
)
def test_impossible_places_are_refused(make, words):
    with pytest.raises(ConfigError, match=f"dataset 'synthetic': {words}"):
        make()
