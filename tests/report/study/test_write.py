import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainexp.errors import ConfigError
from brainexp.report.__main__ import asked, main
from brainexp.report.study.figures import FIGURES
from brainexp.report.study.formats import escaped, latex, markdown, written
from brainexp.report.study.interactive import PLOTS
from brainexp.report.study.launch import read_study
from brainexp.report.study.tables import Table
from brainexp.report.study.write import write_report
from tests.report.study.conftest import leave


@pytest.fixture(scope="module")
def report(grid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "report"
    write_report(read_study([grid]), folder)
    return folder


class Page(HTMLParser):
    """What a page asks for and what it says."""

    def __init__(self, text):
        super().__init__()
        self.asked, self.tags, self.ids, self.images, self.plots, self.headings = [], [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        for name in ("src", "href", "action", "srcset", "data", "poster", "xlink:href"):
            if attributes.get(name):
                self.asked.append(attributes[name])
        if tag == "img":
            self.images.append(attributes)
        if "data-plot" in attributes:
            self.plots.append(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


@pytest.fixture(scope="module")
def page(report):
    return Page((report / "report.html").read_text(encoding="utf-8"))


def lines_of(figure):
    return [(line.get_label(), line.get_xdata(), line.get_ydata()) for panel in figure.axes for line in panel.lines]


def read_frames(folder, frames):
    return {name: pd.read_csv(folder / "data" / f"{name}.csv") for name in frames}


FRAMES = {"scale": ("scale", "scale_fit")}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_again_from_its_data_alone(report, grid, tmp_path, name):
    from brainexp.report.study.analysis import analysed

    frames = read_frames(report, FRAMES.get(name, (name,)))
    kept = {
        key: value for part in analysed(read_study([grid]), tmp_path).sections for key, value in part.figures.items()
    }[name]

    again, first = (lines_of(FIGURES[name](one)) for one in (frames, kept))

    assert len(again) == len(first) > 0
    for one, other in zip(again, first, strict=True):
        assert one[0] == other[0]
        for values, others in zip(one[1:], other[1:], strict=True):
            assert np.asarray(values, float) == pytest.approx(np.asarray(others, float), rel=1e-12, nan_ok=True)
    assert (report / "figures" / f"{name}.png").stat().st_size > 5000
    assert "<svg" in (report / "figures" / f"{name}.svg").read_text()[:600]
    assert len(PLOTS[name](frames).data) > 0


def test_maps_are_drawn_again_from_their_data_alone(report, tmp_path):
    from brainexp.report.study.maps import BrainMaps, draw_map, read_map, read_places

    places = read_places(report / "data" / "places.npz")
    file = report / "data" / "difference_1.npz"
    one = read_map(file, "difference_1", "difference", "tiny_1M · rtn")
    others = [read_map(path, path.stem, "difference", "") for path in sorted(file.parent.glob("difference_*.npz"))]
    others = [one if other.name == one.name else other for other in others]

    draw_map(one, BrainMaps(places, tuple(others), "mean over 7 subjects"), tmp_path)

    assert (tmp_path / "difference_1.png").read_bytes() == (report / "figures" / "difference_1.png").read_bytes()


def test_a_difference_map_is_compressed_minus_uncompressed_mean_over_subjects(report, grid):
    r = {}
    for job in (9, 11):
        with np.load(grid / str(job) / "voxels.npz") as file:
            r[job] = np.stack([file["r"][file["subject"] == who] for who in dict.fromkeys(file["subject"])])

    with np.load(report / "data" / "difference_7.npz") as file:
        assert file["values"] == pytest.approx((r[11] - r[9]).mean(axis=0), abs=1e-6)
    with np.load(report / "data" / "winner_0.npz") as file:
        assert file["classes"].tolist() == ["tiny_1M", "tiny_3M", "tiny_10M", "tiny_30M"]
        assert set(file["values"]) <= {0.0, 4.0}  # the largest, or nobody
        assert (file["values"] == 4.0).any()


def test_tables_are_written_as_csv_markdown_and_latex(report):
    names = {path.stem for path in (report / "tables").glob("*.csv")}

    assert names == {
        "scale", "model_tests", "model_tests_rois", "compression_tests", "compression_tests_rois", "probes", "winning_rates",
        "dissociation", "costs", "rois", "jobs", "runs",
    }  # fmt: skip
    for name in names:
        rows = list(csv.reader((report / "tables" / f"{name}.csv").read_text().splitlines()))
        text = (report / "tables" / f"{name}.md").read_text()
        tex = (report / "tables" / f"{name}.tex").read_text()
        assert len([line for line in text.splitlines() if line.startswith("|")]) == len(rows) + 1
        assert tex.count(r"\\") >= len(rows)
        assert tex.isascii()


def test_latex_has_nothing_special_that_is_not_escaped():
    frame = pd.DataFrame({"name": ["50% of a_b & c#{d}~^\\ $x$ Δr ≥ −1 日"], "r": [0.5]})
    table = Table("made", "A & B_c", "100 %", frame, {"name": ("na_me", "text"), "r": ("Δr", "+3")})

    (row,) = [line for line in latex(table).splitlines() if line.startswith("50")]

    assert row == (
        r"50\% of a\_b \& c\#\{d\}\textasciitilde{}\textasciicircum{}\textbackslash{} \$x\$ $\Delta$r $\geq$ $-$1 ? & +0.500 \\"
    )
    assert r"na\_me & $\Delta$r \\" in latex(table)
    assert r"\caption{A \& B\_c. 100 \%}" in latex(table)
    assert escaped("a<b") == "a$<$b"


def test_markdown_keeps_its_columns():
    frame = pd.DataFrame({"name": ["a|b\nc", "d"], "r": [0.5, None]})

    text = markdown(Table("made", "Title", "Note.", frame, {"name": ("name", "text"), "r": ("r", "3")}))

    lines = text.splitlines()
    assert lines[0] == "## Title"
    assert [line.replace(r"\|", "").count("|") for line in lines[2:6]] == [3, 3, 3, 3]
    assert "a\\|b c" in text
    assert "–" in lines[5]


@pytest.mark.parametrize(
    ("value", "how", "text"),
    [
        (0.0004, "p", "<.001"), (0.0312, "p", ".031"), (1.0, "p", "1.000"), (-0.0123, "+3", "-0.012"), (None, "3", "–"),
        (float("nan"), "p", "–"), (float("inf"), "2", "–"), (12345678.0, "count", "12,345,678"), (-0.25, "%", "-25 %"),
        (2.5e9, "bytes", "2.5 GB"), (3e6, "bytes", "3 MB"), (pd.NA, "text", "–"),
    ],
)  # fmt: skip
def test_cells_are_written_as_people_read_them(value, how, text):
    assert written(value, how) == text


def test_the_page_asks_for_nothing_from_elsewhere(report, page):
    text = (report / "report.html").read_text(encoding="utf-8")
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))

    assert [one for one in page.asked if not one.startswith(("#", "data:"))] == []
    assert "url(" not in style
    assert "@import" not in style
    assert "link" in page.tags  # the icon, which is none
    assert "default-src 'none'" in text
    own = (Path(__file__).parents[3] / "brainexp/report/study/page/report.js").read_text()
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|localStorage|sessionStorage|document\.cookie|indexedDB", own)


def test_the_page_is_below_what_mlflow_previews_and_whole(report, page):
    assert (report / "report.html").stat().st_size < 50 * 2**20
    assert len(page.ids) == len(set(page.ids))
    assert {one["data-plot"] for one in page.plots} == set(FIGURES)


def test_the_page_can_be_heard(page):
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert all(image["alt"] for image in page.images)
    assert all(plot["role"] == "img" and "Values from" in plot["aria-label"] for plot in page.plots)
    assert len(page.images) == 4 + 4 + 4  # r of four models, four differences, four contests


def test_the_page_tells_claims_holes_and_reasons(report):
    text = (report / "report.html").read_text(encoding="utf-8")

    assert "<title>Sizes &amp; &lt;bits&gt;</title>" in text
    assert "Does r fall?" in text
    assert "4 of 12 jobs are missing from what follows: 2 never started, 1 failed, 1 unfinished." in text
    assert "ConfigError: group_size=128 does not divide 64" in text
    assert "tiny_30M · magnitude &lt; tiny_30M · none: r is different" in text


def test_words_of_a_study_cannot_become_markup(tmp_path):
    leave(tmp_path / "F" / "0", "tiny-1M")
    record = json.loads((tmp_path / "F" / "0" / "result.json").read_text())
    record["remarks"] = ["</script><script>alert(1)</script>"]
    record["name"] = "<b>x</b>-none-made"
    (tmp_path / "F" / "0" / "result.json").write_text(json.dumps(record))

    write_report(read_study([tmp_path / "F"]), tmp_path / "out")

    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text
    assert "<b>x</b>" not in text
    assert Page(text).tags.count("script") == 3


def test_a_report_is_written_again_over_itself_and_over_nothing_else(tmp_path):
    leave(tmp_path / "F" / "0", "tiny-1M")
    study = read_study([tmp_path / "F"])
    out = tmp_path / "F" / "report"
    write_report(study, out)
    before = (out / "report.html").read_text()

    leave(tmp_path / "F" / "1", "tiny-3M")
    write_report(read_study([tmp_path / "F"]), out)

    assert (out / "report.html").read_text() != before
    assert [path.name for path in (tmp_path / "F").iterdir() if path.name.startswith(".")] == []
    (out / "notes.txt").write_text("mine")
    with pytest.raises(
        ConfigError, match=r"has been changed since it was written \(notes\.txt\), and is left as it is\."
    ):
        write_report(study, out)
    (out / "notes.txt").unlink()
    (out / "tables" / "scale.csv").write_text("edited")
    with pytest.raises(ConfigError, match=r"\(tables/scale\.csv\)"):
        write_report(study, out)
    assert (out / "tables" / "scale.csv").read_text() == "edited"


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    leave(tmp_path / "F" / "0", "tiny-1M")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")

    with pytest.raises(ConfigError, match="holds files that no report has written, and is left as it is"):
        write_report(read_study([tmp_path / "F"]), tmp_path / "mine")

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_an_error_leaves_nothing_half_written(tmp_path, monkeypatch):
    leave(tmp_path / "F" / "0", "tiny-1M")
    out = tmp_path / "F" / "report"
    write_report(read_study([tmp_path / "F"]), out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    monkeypatch.setitem(FIGURES, "rois", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        write_report(read_study([tmp_path / "F"]), out)

    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert sorted(path.name for path in (tmp_path / "F").iterdir()) == ["0", "report"]


@pytest.mark.parametrize(
    ("kind", "reason"), [("unplaced", "nobody knows where the voxels lie"), (None, "1 of 1 runs have no spaces.npz")]
)
def test_without_places_there_are_no_maps_and_the_page_says_why(tmp_path, kind, reason):
    leave(tmp_path / "F" / "0", "tiny-1M", kind=kind or "rois")
    if kind is None:
        (tmp_path / "F" / "0" / "spaces.npz").unlink()

    write_report(read_study([tmp_path / "F"]), tmp_path / "out")

    assert f"No maps: {reason}" in (tmp_path / "out" / "report.html").read_text()
    assert not list((tmp_path / "out" / "data").glob("*.npz"))


def test_the_command_writes_beside_the_runs_and_tells_where(tmp_path, capsys):
    leave(tmp_path / "F" / "0", "tiny-1M")
    leave(tmp_path / "F" / "1", "tiny-3M")

    assert main([f"folder={tmp_path / 'F'}", "tracking.uri=null"]) == 0

    shown = capsys.readouterr().out
    assert (tmp_path / "F" / "report" / "report.html").is_file()
    assert f"report              {tmp_path / 'F' / 'report' / 'report.html'}" in shown
    assert "different: tiny_3M > tiny_1M: r is different" in shown


def test_the_newest_launch_of_a_named_study_is_reported(tmp_path, monkeypatch, capsys):
    from tests.report.study.conftest import launch

    monkeypatch.chdir(tmp_path)
    for date in ("2026-01-01", "2026-01-02"):
        launch(tmp_path / "outputs/studies/scale" / date, {"model": "tiny-1M"}, study="scale")
        leave(tmp_path / "outputs/studies/scale" / date / "0", "tiny-1M")

    assert main(["study=scale"]) == 0

    assert [path.parent.parent.name for path in tmp_path.rglob("report.html")] == ["2026-01-02"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["studdy=scale"], "'studdy=scale' is no option of the report. Did you mean study=...? Known: study, folder, out, tracking.uri, tracking.experiment."),
        (["scale"], "'scale' is no option of the report."),
        (["out=x"], "Give either study=NAME or folder=F [F2 ...]. See --help."),
        (["study=a", "folder=b"], "Give either study=NAME or folder=F [F2 ...]."),
        (["study="], "'study=' is no option of the report. Did you mean study=...?"),
        (["study=scael"], "study=scael was launched neither under outputs/studies nor in the tracker sqlite:///outputs/mlflow.db. Did you mean 'scale'? Studies here: scale. Give folder=F for a sweep that is no study."),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_said(tmp_path, monkeypatch, capsys, words, message):
    from tests.report.study.conftest import launch

    monkeypatch.chdir(tmp_path)
    launch(tmp_path / "outputs/studies/scale/2026-01-01", {"model": "tiny-1M"})

    assert main(words) == 1

    assert message in capsys.readouterr().err
    assert not (tmp_path / "outputs" / "mlflow.db").exists()


def test_several_folders_are_words_after_the_first():
    assert [str(one) for one in asked(["folder=a", "b", "c", "out=d"]).folders] == ["a", "b", "c"]
    assert asked(["study=s", "tracking.uri=null"]).tracking == {"uri": None}
