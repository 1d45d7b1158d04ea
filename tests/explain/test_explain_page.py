"""The page in a real browser: pointing, touching and walking through it shows the numbers, and nothing leaves it."""

import shutil

import numpy as np
import pytest

import jconvt
from jconvt import explain
from jconvt._explain import written
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
    """Opens a page of ``PAGES``; in the end nothing may have been asked of a network, or complained of."""
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


def chosen(page, grid):
    return page.eval_on_selector_all(f"#{grid} .chosen", "found => found.map((each) => Number(each.dataset.index))")


def shown(page):
    """The sum that the page spells, as ``Explanation.sentence`` has it."""
    text = page.inner_text("#sum").replace("\N{MINUS SIGN}", "-").replace(" \N{MULTIPLICATION SIGN} ", "*")
    return " ".join(text.split())


def window(page):
    """The places that lie within the frame of the zero-filled input."""
    return page.evaluate(
        """() => {
            const frame = document.querySelector(".frame").getBoundingClientRect();
            return [...document.querySelectorAll("#zeros .cell")].filter((each) => {
                const box = each.getBoundingClientRect();
                const x = box.left + box.width / 2, y = box.top + box.height / 2;
                return frame.left < x && x < frame.right && frame.top < y && y < frame.bottom;
            }).map((each) => Number(each.dataset.index));
        }"""
    )


def check_sum(page, why, index):
    """All three views show one output."""
    position = tuple(map(int, np.unravel_index(index, why.output.shape)))
    terms = why.products(position)
    pixels = [int(np.ravel_multi_index(pixel, why.input.shape)) for pixel, _, _ in terms]
    taps = [int(np.ravel_multi_index(tap, why.kernel.shape)) for _, tap, _ in terms]
    assert shown(page) == why.sentence(position)
    assert chosen(page, "output") == chosen(page, "stamps") == chosen(page, "result") == [index]
    assert chosen(page, "input") == chosen(page, "vector") == pixels
    assert chosen(page, "kernel") == sorted(taps)
    assert chosen(page, "matrix") == [index * why.input.size + pixel for pixel in pixels]
    assert page.locator("#terms li").count() == len(terms)
    inside = window(page)
    wanted = [
        int(np.ravel_multi_index(np.add(position, place), why.zero_filled_pixels.shape))
        for place in np.ndindex(why.window)
    ]
    assert inside == wanted
    # What lies under the flipped kernel's taps is what the sum adds up.
    under = {
        (int(why.zero_filled_pixels.ravel()[at]), int(tap))
        for at, tap in zip(inside, why.window_taps.ravel(), strict=True)
        if tap >= 0 and why.zero_filled_pixels.ravel()[at] >= 0
    }
    assert under == set(zip(pixels, taps, strict=True))
    assert page.input_value("#slider") == str(index)


@pytest.mark.parametrize("name", PAGES)
def test_pointing_at_an_output_shows_its_sum_in_all_three_views(visit, name):
    page, why = visit(name), PAGES[name]
    check_sum(page, why, int(np.ravel_multi_index(why.busiest, why.output.shape)))
    count = why.output.size
    for index in {0, 1, count // 2, count - 1}:
        cell(page, "output", index).hover()
        check_sum(page, why, index)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_shows_the_numbers(visit, name):
    page, why = visit(name), PAGES[name]
    for grid, values in (
        ("input", why.input), ("kernel", why.kernel), ("output", why.output), ("stamps", why.output),
        ("zeros", why.zero_filled), ("flipped", why.flipped_kernel), ("vector", why.input),
    ):  # fmt: skip
        texts = page.eval_on_selector_all(f"#{grid} .cell", "found => found.map((each) => each.textContent)")
        assert texts == [written.typeset(written.number(value)) for value in values.ravel()], grid
    labels = page.eval_on_selector_all("#matrix .cell", "found => found.map((each) => each.ariaLabel)")
    entries = [written.typeset(written.number(value)) for value in why.matrix.T.ravel()]
    assert [label.rpartition(": ")[2] for label in labels] == entries
    assert page.inner_text("code") == why.call
    assert "same numbers" in page.inner_text("#agrees")


@pytest.mark.parametrize("name", ["example", "one-dimension", "cropped", "no-numbers"])
def test_pointing_at_an_input_shows_its_stamp(visit, name):
    page, why = visit(name), PAGES[name]
    for row, (pixel, stamp) in enumerate(why.stamps.items()):
        cell(page, "input", row).hover()
        landed = np.flatnonzero(why.taps[row] >= 0).tolist()
        assert chosen(page, "stamps") == landed
        texts = page.eval_on_selector_all("#stamps .cell", "found => found.map((each) => each.textContent)")
        assert [texts[at] for at in landed] == [written.typeset(written.number(n)) for n in stamp.ravel()[landed]]
        assert not any(text for at, text in enumerate(texts) if at not in landed)
        assert chosen(page, "matrix") == [at * why.input.size + row for at in landed]
        assert chosen(page, "zeros") == np.flatnonzero(why.zero_filled_pixels == row).tolist()
        assert shown(page).startswith(f"input{written.place(pixel)} = {written.number(why.input[pixel])} stamps")


def test_the_slider_walks_through_the_dilated_view(visit):
    page, why = visit("example"), PAGES["example"]
    page.fill("#slider", "0")
    check_sum(page, why, 0)
    page.focus("#slider")
    for index in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        check_sum(page, why, index)
    assert page.inner_text("#at") == "out[0,3]"
    assert page.get_attribute("#slider", "aria-valuetext") == "output [0,3]"
    page.click("#play")
    playwright.expect(page.locator("#at")).to_have_text("out[1,0]")
    page.click("#play")
    assert page.inner_text("#play") == "Play"
    page.wait_for_timeout(1200)
    assert int(page.input_value("#slider")) < 7


def test_the_keyboard_reaches_everything(visit):
    page, why = visit("example"), PAGES["example"]
    page.keyboard.press("Tab")
    assert shown(page).startswith("input[0,0] = -67 stamps")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert shown(page).startswith("input[1,1] = -127 stamps")
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


def test_touch_works(visit):
    page, why = visit("example", has_touch=True, is_mobile=True, width=390), PAGES["example"]
    cell(page, "output", 12).tap()
    check_sum(page, why, 12)
    cell(page, "input", 3).tap()
    assert chosen(page, "stamps") == np.flatnonzero(why.taps[3] >= 0).tolist()
    cell(page, "matrix", 0).tap()
    check_sum(page, why, 0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_narrow_screens_light_and_dark(visit, name, scheme):
    page = visit(name, width=360, height=640, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
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


def test_channels_are_shown_one_pair_at_a_time(visit):
    page, why = visit("channels"), PAGES["channels"]
    assert page.locator("#pair option").all_inner_texts() == [f"input {i}, output {o}" for i, o in why.pairs]
    check_sum(page, why, int(np.ravel_multi_index(why.busiest, why.output.shape)))
    for pair in ((0, 2), (2, 3)):
        page.select_option("#pair", label=f"input {pair[0]}, output {pair[1]}")
        cell(page, "output", 5).hover()
        check_sum(page, why.pair(*pair), 5)
    assert not visit("example").is_visible("#pair")


def test_a_notebook_shows_the_page_in_a_frame(browser, tmp_path):
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


def test_a_page_with_a_wrong_number_is_seen(browser, files, tmp_path):
    """The tests above can fail: one product that is written wrongly is not what the sum says."""
    broken = (files / "example.html").read_text().replace("1620", "1621")
    (tmp_path / "broken.html").write_text(broken)
    page = browser.new_page()
    page.goto((tmp_path / "broken.html").as_uri())
    with pytest.raises(AssertionError):
        check_sum(page, PAGES["example"], 12)
    page.close()


def test_a_page_of_several_sizes_is_the_librarys():
    for why in PAGES.values():
        assert why.agrees
        assert isinstance(why, jconvt.Explanation)
