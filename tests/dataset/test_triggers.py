import zipfile

import numpy as np
import pytest

from brainexp.dataset.triggers import trigger_timing
from brainexp.errors import DataError

REPORT = "0.0 init-trigger\n1.98 trigger\n3.0 sound-start\n4.0 trigger\n8.0 trigger\n\n10.0 trigger\n9.5 sound-stop\n"


def test_times_are_from_the_start_of_the_sound_and_missing_triggers_are_put_in(tmp_path):
    (tmp_path / "tale.report").write_text(REPORT)

    timing = trigger_timing(tmp_path, "tale", 5, "Get it.")

    np.testing.assert_allclose(timing.trigger_s, [-3.0, -1.02, 1.0, 3.0, 5.0, 7.0])
    assert timing.missing == (3,)
    assert timing.unreported_trs == 5


def test_a_zip_is_read_as_its_folder(tmp_path):
    (tmp_path / "tale.report").write_text(REPORT)
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("trfiles/tale.report", REPORT)

    one, other = (trigger_timing(tmp_path / name, "tale", 0, "Get it.") for name in (".", "t.zip"))

    np.testing.assert_array_equal(one.trigger_s, other.trigger_s)
    with pytest.raises(DataError, match=r"t.zip has no file story.report. Get it."):
        trigger_timing(tmp_path / "t.zip", "story", 0, "Get it.")
    (tmp_path / "t.zip").write_bytes((tmp_path / "t.zip").read_bytes()[:60])
    with pytest.raises(DataError, match=r"t.zip is damaged: File is not a zip file. Fetch it again. Get it."):
        trigger_timing(tmp_path / "t.zip", "tale", 0, "Get it.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0.0 trigger\n2.0 trigger\n", "has 2 triggers and no line 'sound-start'"),
        (
            "0.0 trigger\n1.0 sound-start\n",
            "has 1 triggers and a line 'sound-start', but that line and two or more rising",
        ),
        ("0.0 trigger\n1.0 sound-start\n4.0 trigger\n2.0 trigger\n", "two or more rising triggers are needed. Get it."),
        ("zero trigger\n", "tale.report, line 1: 'zero trigger' is not a time in seconds and what happened. Get it."),
    ],
)
def test_what_is_no_report_is_told(tmp_path, text, told):
    (tmp_path / "tale.report").write_text(text)

    with pytest.raises(DataError, match=told):
        trigger_timing(tmp_path, "tale", 0, "Get it.")
