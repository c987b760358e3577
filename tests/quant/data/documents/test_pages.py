"""Pages have the expected content at the expected rates, and exact margins."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageDraw

from quant.data.documents import layouts, pages, scripts
from quant.data.documents.ink import Pen
from quant.data.documents.pages import MARGIN, MARKS, Page

COUNT = 200

KINDS = {*layouts.LAYOUTS} - {"graphic"}
GROUPS = {
    "receipt": {"receipt"},
    "cards": {"card", "id-card", "business-card"},
    "books": {"book", "spread"},
    "notes": {"notebook", "note"},
    "forms": {"form", "invoice"},
    "letters": {"a4", "letter"},
}
LEAST_MARKS = {
    "table": 0.13,
    "handwriting": 0.14,
    "photo": 0.14,
    "script": 0.14,
    "colored-paper": 0.12,
    "dark-paper": 0.11,
}


@pytest.fixture(scope="module")
def sheets() -> list[Page]:
    return [pages.page(index) for index in range(COUNT)]


def test_every_kind_and_mark_occurs(sheets: list[Page]) -> None:
    assert {page.kind for page in sheets} == KINDS
    assert {mark for page in sheets for mark in page.marks} == MARKS - {"graphic"}


def test_graphic_pages_are_different_and_marked(sheets: list[Page]) -> None:
    graphic = [pages.graphic(index) for index in range(20)]
    assert {page.kind for page in graphic} == {"graphic"}
    assert all("graphic" in page.marks and page.marks <= MARKS for page in graphic)
    assert len({page.image.tobytes() for page in graphic}) == 20
    assert pages.graphic(3).image.tobytes() == graphic[3].image.tobytes()
    assert pages.page(3).image.tobytes() == sheets[3].image.tobytes()


def test_kinds_have_the_expected_rates(sheets: list[Page]) -> None:
    rates = Counter(page.kind for page in sheets)
    # The kinds are selected by evenly spaced numbers: any 200 consecutive pages are within 3 pages, 1.5 %, of the rate.
    for kinds in GROUPS.values():
        assert sum(rates[kind] for kind in kinds) / COUNT >= 0.11
    assert sum(rates[kind] for kind in GROUPS["cards"]) / COUNT == pytest.approx(0.2, abs=0.015)


@pytest.mark.parametrize(("mark", "least"), LEAST_MARKS.items())
def test_marks_have_at_least_the_expected_rates(sheets: list[Page], mark: str, least: float) -> None:
    # The rates hold for all pages. Over 200 of them, a rate p has a standard deviation of sqrt(p (1 - p) / 200).
    deviation = float(np.sqrt(least * (1 - least) / COUNT))
    assert sum(mark in page.marks for page in sheets) / COUNT >= least - deviation


def test_a_few_pages_are_blank(sheets: list[Page]) -> None:
    # Three standard deviations of a rate of 0.06 over 200 pages are 0.05.
    assert sum("blank" in page.marks for page in sheets) / COUNT == pytest.approx(0.06, abs=0.05)


def test_most_paper_is_nearly_white(sheets: list[Page]) -> None:
    medians = np.array([np.median(np.asarray(page.image), axis=(0, 1)) for page in sheets])
    pale = (medians.min(axis=1) > 150) & (np.ptp(medians, axis=1) < 45)
    assert pale.mean() > 0.55


def test_equal_indices_give_equal_bytes() -> None:
    for index in range(0, 40, 4):
        first = pages.page(index)
        pages._render.cache_clear()
        second = pages.page(index)
        assert first.image.tobytes() == second.image.tobytes()
        assert (first.size, first.kind, first.marks) == (second.size, second.kind, second.marks)
        assert (first.cutout is None) == (second.cutout is None)
        if first.cutout is not None and second.cutout is not None:
            assert first.cutout.tobytes() == second.cutout.tobytes()


def test_margins_repeat_the_outermost_pixels(sheets: list[Page]) -> None:
    for page in sheets[:60]:
        assert page.image.size == (page.size[0] + 2 * MARGIN, page.size[1] + 2 * MARGIN)
        pixels = np.asarray(page.image)
        inner = pixels[MARGIN:-MARGIN, MARGIN:-MARGIN]
        np.testing.assert_array_equal(pixels, np.pad(inner, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge"))
        assert page.cutout is None or page.cutout.size == page.image.size


def test_the_pool_fits_into_memory(sheets: list[Page]) -> None:
    sizes = [p.image.width * p.image.height * (3 if p.cutout is None else 4) for p in sheets]
    assert np.mean(sizes) * pages.POOL < 255e6


def draw_pen(seed: int, size: tuple[int, int] = (420, 600), script: str = "latin") -> Pen:
    image = Image.new("RGB", size, (250, 250, 250))
    rng = np.random.default_rng(seed)
    face = scripts.face(rng, script, 9)
    return Pen(image, ImageDraw.Draw(image), rng, (250, 250, 250), (20, 20, 30), (30, 60, 140), face, set())


def layout_cases() -> list[tuple[str, layouts.Layout]]:
    return [(f"{kind}-{layout.__name__}", layout) for kind, rows in layouts.LAYOUTS.items() for _, layout in rows]


@pytest.mark.parametrize("layout", [case[1] for case in layout_cases()], ids=[case[0] for case in layout_cases()])
@pytest.mark.parametrize("size", [(420, 640), (640, 330), (150, 640)])
def test_every_layout_except_blank_prints(layout: layouts.Layout, size: tuple[int, int]) -> None:
    for seed in range(2):
        pen = draw_pen(seed, size)
        layout(pen)
        differs = (np.abs(np.asarray(pen.image, int) - 250).max(axis=2) > 25).mean()
        assert pen.marks <= MARKS
        if layout is layouts.blank:
            assert differs == 0
            assert pen.marks == {"blank"}
        else:
            # A page of text has some percent of ink, and a note of a few words at least 0.3 percent.
            assert differs > 0.003
            assert pen.marks - {"blank"}


def test_rates_of_layouts_sum_to_one() -> None:
    assert {kind: sum(rate for rate, _ in rows) for kind, rows in layouts.LAYOUTS.items()} == pytest.approx(
        dict.fromkeys(layouts.LAYOUTS, 1.0)
    )
    assert pages._KINDS.keys() == layouts.LAYOUTS.keys()


@pytest.mark.parametrize("script", ["latin", *scripts.FOREIGN, "hand"])
def test_text_stays_in_its_box_and_marks_its_script(script: str) -> None:
    pen = draw_pen(3, script=script)
    left, top, right, bottom = 60, 80, 350, 500
    scripts.paragraph(pen, (left, top, right, bottom), "justify")
    rows, columns = np.nonzero(np.asarray(pen.image.convert("L")) < 200)
    # Words start and end on whole px. A word's mask is 1.6 sizes high, and a line 1.45.
    assert columns.min() >= left - 1
    assert columns.max() <= right + 1
    assert rows.min() >= top - 1
    assert rows.max() <= bottom + 0.6 * pen.face.size
    assert pen.marks == {"hand": {"handwriting"}, "latin": {"text"}}.get(script, {"text", "script"})


def test_plain_page_is_blank_and_has_one_color() -> None:
    page = pages.plain_page((30, 40), (10, 12, 20))
    assert page.kind == "blank"
    assert page.marks == {"blank", "dark-paper"}
    assert page.image.getcolors() == [((30 + 2 * MARGIN) * (40 + 2 * MARGIN), (10, 12, 20))]
