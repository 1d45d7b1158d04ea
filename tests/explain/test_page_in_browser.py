"""The page in a browser: mouse, touch and keyboard show the numbers, and it loads nothing from the network."""

import re
import shutil

import numpy as np
import pytest

from jconvt import explain
from jconvt._explain.formatting import format_index, format_number, typeset
from jconvt._testing import example

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'jconvt[browser]'"
)

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if BROWSER is None:
    pytest.skip("no Chromium here: apt-get install chromium", allow_module_level=True)

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.integers(-9, 10, shape).astype(np.float32)


PAGES = {
    "example": explain(example.INPUT, example.FILTERS, **example.ARGUMENTS),
    "one-dimension": explain(
        random(1, 5, 1), random(3, 1, 1), strides=2, padding="SAME", output_shape=[9], dilations=2
    ),
    "gaps": explain(random(1, 2, 3, 1), random(2, 1, 1, 1), strides=(3, 2)),
    "cropped": explain(random(1, 1, 4, 4), random(1, 1, 4, 4), stride=2, padding=1, dilation=2, convention="torch"),
    "channels": explain(random(1, 3, 3, 4), random(2, 3, 3, 4), groups=2, strides=(2, 1), pair=(3, 4)),
    "large": explain(random(1, 6, 6, 1), random(5, 5, 1, 1), strides=2),
    "fractions": explain(random(1, 3, 3, 1) / 7, random(2, 2, 1, 1) / 1000, strides=2),
    "no-numbers": explain(np.array([[[np.nan], [np.inf], [1]]], np.float32), random(2, 1, 1), name="</script> & <b>"),
}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pages")
    for name, explanation in PAGES.items():
        explanation.save(directory / f"{name}.html")
    return directory


@pytest.fixture
def visit(browser, files):
    """Open a page of ``PAGES``. At the end there must be no request to a network, no error and no warning."""
    complaints, contexts = [], []

    def open_page(name, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        address = (files / f"{name}.html").as_uri()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url in (address, "data:,") or complaints.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def cell(page, grid, index):
    return page.locator(f"#{grid} [data-index='{index}']")


STATE = """() => {
    const frame = document.querySelector(".frame").getBoundingClientRect();
    const index = (each) => Number(each.dataset.index);
    const chosen = {};
    for (const grid of ["input", "kernel", "output", "stamps", "zeros", "flipped", "matrix", "vector", "result"])
        chosen[grid] = [...document.querySelectorAll(`#${grid} .chosen`)].map(index);
    const inside = [...document.querySelectorAll("#zeros .cell")].filter((each) => {
        const box = each.getBoundingClientRect();
        const x = box.left + box.width / 2, y = box.top + box.height / 2;
        return frame.left < x && x < frame.right && frame.top < y && y < frame.bottom;
    });
    return {
        chosen,
        window: inside.map(index),
        sum: document.getElementById("sum").innerText,
        terms: document.querySelectorAll("#terms li").length,
        slider: document.getElementById("slider").value,
    };
}"""
"""The chosen cells of each grid, the places in the frame of the zero-filled input, the sum, and the slider."""


def texts(page, grid):
    return page.eval_on_selector_all(f"#{grid} .cell", "found => found.map((each) => each.textContent)")


def shown(text):
    """The sum on the page, as ``Explanation.sentence`` returns it."""
    return " ".join(text.replace("\N{MINUS SIGN}", "-").replace(" \N{MULTIPLICATION SIGN} ", "*").split())


def check_sum(page, why, index):
    """All three views show one output."""
    position = tuple(map(int, np.unravel_index(index, why.output.shape)))
    terms = why.products(position)
    pixels = [int(np.ravel_multi_index(pixel, why.input.shape)) for pixel, _, _ in terms]
    taps = [int(np.ravel_multi_index(tap, why.kernel.shape)) for _, tap, _ in terms]
    state = page.evaluate(STATE)
    chosen = state["chosen"]
    assert shown(state["sum"]) == why.sentence(position)
    assert chosen["output"] == chosen["stamps"] == chosen["result"] == [index]
    assert chosen["input"] == chosen["vector"] == pixels
    assert chosen["kernel"] == sorted(taps)
    assert chosen["matrix"] == [index * why.input.size + pixel for pixel in pixels]
    assert state["terms"] == len(terms)
    wanted = [
        int(np.ravel_multi_index(np.add(position, place), why.zero_filled_pixels.shape))
        for place in np.ndindex(why.window)
    ]
    assert state["window"] == wanted
    # The pixels under the flipped kernel's taps are those of the sum.
    under = {
        (int(why.zero_filled_pixels.ravel()[at]), int(tap))
        for at, tap in zip(state["window"], why.window_taps.ravel(), strict=True)
        if tap >= 0 and why.zero_filled_pixels.ravel()[at] >= 0
    }
    assert under == set(zip(pixels, taps, strict=True))
    assert state["slider"] == str(index)


@pytest.mark.parametrize("name", PAGES)
def test_page__has_the_numbers_and_pointing_at_an_output_shows_its_sum(visit, name):
    page, why = visit(name), PAGES[name]
    for grid, values in (
        ("input", why.input), ("kernel", why.kernel), ("output", why.output), ("stamps", why.output),
        ("zeros", why.zero_filled), ("flipped", why.flipped_kernel), ("vector", why.input),
    ):  # fmt: skip
        assert texts(page, grid) == [typeset(format_number(value)) for value in values.ravel()], grid
    labels = page.eval_on_selector_all("#matrix .cell", "found => found.map((each) => each.ariaLabel)")
    entries = [typeset(format_number(value)) for value in why.matrix.T.ravel()]
    assert [label.rpartition(": ")[2] for label in labels] == entries
    assert page.inner_text("code") == why.call
    assert why.agrees
    assert "same numbers" in page.inner_text("#agrees")
    check_sum(page, why, int(np.ravel_multi_index(why.busiest, why.output.shape)))
    count = why.output.size
    for index in {0, 1, count // 2, count - 1}:
        cell(page, "output", index).hover()
        check_sum(page, why, index)


@pytest.mark.parametrize("name", ["example", "one-dimension", "cropped", "no-numbers"])
def test_page__pointing_at_an_input_shows_its_stamp(visit, name):
    page, why = visit(name), PAGES[name]
    for row, (pixel, stamp) in enumerate(why.stamps.items()):
        cell(page, "input", row).hover()
        reached = np.flatnonzero(why.taps[row] >= 0).tolist()
        state = page.evaluate(STATE)
        assert state["chosen"]["stamps"] == reached
        cells = texts(page, "stamps")
        assert [cells[at] for at in reached] == [typeset(format_number(n)) for n in stamp.ravel()[reached]]
        assert not any(text for at, text in enumerate(cells) if at not in reached)
        assert state["chosen"]["matrix"] == [at * why.input.size + row for at in reached]
        assert state["chosen"]["zeros"] == np.flatnonzero(why.zero_filled_pixels == row).tolist()
        start = f"input{format_index(pixel)} = {format_number(why.input[pixel])} stamps"
        assert shown(state["sum"]).startswith(start)


def test_slider__walks_through_the_dilated_view(visit):
    page, why = visit("example"), PAGES["example"]
    page.fill("#slider", "0")
    check_sum(page, why, 0)
    page.focus("#slider")
    for index in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        check_sum(page, why, index)
    assert page.inner_text("#at") == "out[0,3]"
    assert page.get_attribute("#slider", "aria-valuetext") == "output [0,3]"
    page.clock.install()
    page.click("#play")
    page.clock.run_for(900)
    playwright.expect(page.locator("#at")).to_have_text("out[1,0]")
    page.click("#play")
    assert page.inner_text("#play") == "Play"
    page.clock.run_for(5000)
    assert page.inner_text("#at") == "out[1,0]"


def test_keyboard__reaches_everything(visit):
    page, why = visit("example"), PAGES["example"]
    page.keyboard.press("Tab")
    assert shown(page.inner_text("#sum")).startswith("input[0,0] = -67 stamps")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert shown(page.inner_text("#sum")).startswith("input[1,1] = -127 stamps")
    page.keyboard.press("Tab")
    check_sum(page, why, 0)
    for key, index in (("ArrowDown", 5), ("End", 9), ("ArrowRight", 9), ("ArrowUp", 4), ("Home", 0), ("ArrowUp", 0)):
        page.keyboard.press(key)
        check_sum(page, why, index)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    order = []
    for _ in range(8):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.closest('[id]')?.id"))
    assert order[:7] == ["stamps", "play", "slider", "zeros", "matrix", "vector", "result"]


def test_touch__shows_sums_and_stamps(visit):
    page, why = visit("example", has_touch=True, is_mobile=True, width=390), PAGES["example"]
    cell(page, "output", 12).tap()
    check_sum(page, why, 12)
    cell(page, "input", 3).tap()
    assert page.evaluate(STATE)["chosen"]["stamps"] == np.flatnonzero(why.taps[3] >= 0).tolist()
    cell(page, "matrix", 0).tap()
    check_sum(page, why, 0)


@pytest.mark.parametrize("name", PAGES)
def test_style__narrow_screens_light_and_dark(visit, name):
    page = visit(name, width=360, height=640)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours = page.evaluate(
            """() => ["body", "article", ".sum", "#output .cell"].map((each) => {
                const style = getComputedStyle(document.querySelector(each));
                return [style.color, style.backgroundColor];
            })"""
        )
        for ink, ground in colours:
            light = sum(map(int, ink[ink.index("(") + 1 : -1].split(",")[:3])) > 384
            assert light == (scheme == "dark")
            assert ground == "rgba(0, 0, 0, 0)" or ink != ground


@pytest.mark.parametrize("name", ["example", "one-dimension"])
@pytest.mark.parametrize("width", [1200, 1000, 360])
def test_style__cards_leave_no_hole(visit, name, width):
    """Each card is at the top, or close below another one."""
    page = visit(name, width=width)
    boxes = [card.bounding_box() for card in page.locator("article").all()]
    top = min(box["y"] for box in boxes)
    columns = {box["x"] for box in boxes}
    assert len(columns) == {1200: 3, 1000: 2, 360: 1}[width]
    for box in boxes:
        above = [each for each in boxes if each["x"] == box["x"] and each["y"] < box["y"]]
        gap = min((box["y"] - each["y"] - each["height"] for each in above), default=box["y"] - top)
        assert 0 <= gap < 20


def test_language__every_word_is_chinese(browser, tmp_path):
    """Names of arrays are as in code, and so are the keys."""
    PAGES["channels"].save(tmp_path / "page.html", language="zh")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.get_attribute("html", "lang") == "zh-CN"
    for act in (lambda: None, lambda: page.click("#play"), cell(page, "input", 0).hover):
        act()
        labels = page.eval_on_selector_all(
            "[aria-label], [aria-valuetext]", "found => found.map((each) => each.ariaLabel + each.ariaValueText)"
        )
        text = " ".join([page.inner_text("body").replace(page.inner_text("code"), ""), *labels])
        assert {*re.findall("[A-Za-z]+", text)} <= {"input", "kernel", "out", "C", "Tab", "null"}
    page.close()


def test_pair__selects_the_channels(visit):
    page, why = visit("channels"), PAGES["channels"]
    assert page.locator("#pair option").all_inner_texts() == [f"input {i}, output {o}" for i, o in why.pairs]
    check_sum(page, why, int(np.ravel_multi_index(why.busiest, why.output.shape)))
    for pair in ((0, 2), (2, 3)):
        page.select_option("#pair", label=f"input {pair[0]}, output {pair[1]}")
        cell(page, "output", 5).hover()
        check_sum(page, why.pair(*pair), 5)
    assert not visit("example").is_visible("#pair")


def test_frame__in_a_notebook(browser, tmp_path):
    why = PAGES["no-numbers"]
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!doctype html><meta charset=utf-8><title>notebook</title>{why._repr_html_()}")
    page = browser.new_page()
    page.goto(notebook.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("#output [data-index='1']").hover()
    assert frame.locator("#at").inner_text() == "out[1]"
    assert frame.locator("code").inner_text() == "</script> & <b>"
    page.close()


def test_check_sum__fails_for_a_wrong_number(browser, files, tmp_path):
    """The tests above can fail: one wrong number on the page is detected."""
    broken = (files / "example.html").read_text().replace("1620", "1621")
    (tmp_path / "broken.html").write_text(broken)
    page = browser.new_page()
    page.goto((tmp_path / "broken.html").as_uri())
    with pytest.raises(AssertionError):
        check_sum(page, PAGES["example"], 12)
    page.close()
