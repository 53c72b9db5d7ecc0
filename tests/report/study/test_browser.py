"""The page of a study in a real browser, its network off."""

import pytest

from brainexp.report.study.figures import FIGURES
from brainexp.report.study.launch import read_study
from brainexp.report.study.write import write_report
from tests.browser.pages import chromium

pytestmark = pytest.mark.browser

#: WebGL without a GPU.
WITHOUT_GPU = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
READY_MS = 120_000


@pytest.fixture(scope="module")
def page_file(grid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "report"
    write_report(read_study([grid]), folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=list(WITHOUT_GPU))
        yield opened
        opened.close()


@pytest.fixture
def errors():
    return []


def open_page(browser, errors, address, **options):
    page = browser.new_context(offline=True, viewport={"width": 1300, "height": 900}, **options).new_page()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(f"asked for {request.url}"))
    page.goto(address)
    return page


def drawn(frame):
    return frame.evaluate(
        """() => ({
            plots: [...document.querySelectorAll("[data-plot]")].filter((one) => one.querySelector("svg.main-svg .trace, svg.main-svg .points")).map((one) => one.dataset.plot),
            canvases: document.querySelectorAll("#map-view canvas").length,
            maps: document.getElementById("map-choice").options.length,
        })"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_plots_and_maps_are_drawn_without_a_network_and_without_errors(page_file, browser, errors, scheme):
    page = open_page(browser, errors, page_file.as_uri(), color_scheme=scheme)
    page.wait_for_selector("html[data-ready]", timeout=READY_MS)

    found = drawn(page)

    assert errors == []
    assert set(found["plots"]) == set(FIGURES)
    assert found["canvases"] >= 1
    assert found["maps"] == 12
    ink, paper = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    light = {name: sum(map(int, value[4:-1].split(","))) for name, value in (("ink", ink), ("paper", paper))}
    assert (light["ink"] < light["paper"]) == (scheme == "light")


def test_it_works_in_the_frame_in_which_mlflow_shows_it(page_file, browser, errors, tmp_path):
    (tmp_path / "viewer.html").write_text(
        f'<iframe sandbox="allow-scripts" src="{page_file.as_uri()}" width="1200" height="800"></iframe>'
    )
    page = open_page(browser, errors, (tmp_path / "viewer.html").as_uri())
    frame = page.frames[1]
    frame.wait_for_selector("html[data-ready]", timeout=READY_MS)

    found = drawn(frame)

    assert errors == []
    assert set(found["plots"]) == set(FIGURES)
    assert found["canvases"] >= 1


def test_a_click_sorts_a_table_by_value_and_says_so(page_file, browser, errors):
    page = open_page(browser, errors, page_file.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=READY_MS)
    table = page.locator("section#costs table")
    column = [heading.strip() for heading in table.locator("thead th").all_inner_texts()].index("MB")

    def values():
        return [
            float(text.replace(",", ""))
            for text in table.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()
        ]

    before = values()
    table.locator("thead th button").nth(column).click()
    rising = values()
    table.locator("thead th button").nth(column).click()

    assert before != sorted(before)
    assert rising == sorted(before)
    assert values() == sorted(before, reverse=True)
    assert table.locator("thead th").nth(column).get_attribute("aria-sort") == "descending"


def test_another_map_is_shown_when_it_is_chosen(page_file, browser, errors):
    page = open_page(browser, errors, page_file.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=READY_MS)

    def shown():
        return page.evaluate(
            "[document.getElementById('map-view').data[0].text, document.getElementById('map-key').textContent]"
        )

    first, key = shown()
    page.locator("#map-choice").select_option(index=11)
    second, contest = shown()

    assert first != second
    assert "r" in key
    assert "no clear winner" in contest
    assert set(second) <= {"no clear winner", "none", "rtn", "magnitude"}
    assert errors == []


def test_no_button_sends_a_plot_elsewhere(page_file, browser, errors):
    page = open_page(browser, errors, page_file.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=READY_MS)

    titles = page.evaluate("[...document.querySelectorAll('.modebar-btn')].map((one) => one.dataset.title || '')")

    assert titles
    assert not [title for title in titles if "loud" in title or "tudio" in title or "hare" in title]
    assert page.evaluate("document.querySelectorAll('.modebar a[href^=http]').length") == 0
