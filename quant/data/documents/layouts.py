"""Lay out letters, articles, brochures, forms and invoices, and list all layouts by kind of page.

A layout prints on the whole page of its pen. Sizes are in page px, mostly relative to the page's width or height.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from quant.data.documents import cards, graphics, ink, leaves, pictures, scripts
from quant.data.documents import page_blocks as blocks
from quant.data.documents.ink import Box, Pen

Layout = Callable[[Pen], None]


def _body(pen: Pen) -> Box:
    """Return the box inside random page margins."""
    w, h = pen.image.size
    x, y = w * pen.between(0.05, 0.13), h * pen.between(0.04, 0.1)
    return x, y, w - x, h - y


def blank(pen: Pen) -> None:
    """Print nothing, a common and hard case: only the outline shows the sheet."""
    pen.marks.add("blank")


def letter(pen: Pen) -> None:
    """Print a letter: letterhead with logo, address, date, paragraphs, signature and small print at the foot."""
    left, top, right, bottom = _body(pen)
    size = pen.face.size
    if pen.chance(0.25):
        pen.draw.rectangle((0, 0, pen.image.width, top * 0.6), pen.accent)
    x = right - (right - left) * 0.3 if pen.chance(0.5) else left
    if pen.chance(0.7):
        blocks.logo(pen, (x, top, x + size * 5, top + size * 5))
    scripts.line(pen, scripts.alike(pen, size * 1.5, bold=True), (x + size * 6, top + size * 2, right))
    y = top + size * pen.between(8, 11)
    address = (left, y, left + (right - left) * 0.4, y + size * 5.6)
    y = scripts.paragraph(pen, address) + size * 2
    scripts.line(pen, pen.face, (right - (right - left) * 0.25, y, right), "right")
    if pen.chance(0.7):
        y = scripts.heading(pen, (left, y + size * 2, right, bottom), size * 1.15)
    end = bottom - size * (pen.between(7, 10) if pen.chance(0.7) else pen.between(12, 30))
    scripts.headings_or_text(pen, (left, y + size, right, end), "justify" if pen.chance(0.5) else "left", 1.45)
    if pen.chance(0.7):
        blocks.signature(pen, (left, end + size, left + (right - left) * 0.3, end + size * 4))
    pen.draw.line((left, bottom - size * 1.5, right, bottom - size * 1.5), ink.mix(pen.paper, pen.ink, 0.4))
    for part in blocks.columns((left, bottom - size, right, bottom + size), 3, size):
        scripts.line(pen, scripts.alike(pen, size * 0.7), part[:3])


def article(pen: Pen) -> None:
    """Print an article: title, and one to three columns of text, pictures, formulas, lists and tables."""
    left, top, right, bottom = box = _body(pen)
    size = pen.face.size
    y = top
    if pen.chance(0.75):
        y = scripts.heading(pen, box, size * pen.between(1.6, 3.2), "center" if pen.chance(0.5) else "left") + size
    count = int(pen.rng.choice([1, 2, 3], p=[0.5, 0.4, 0.1])) if right - left > 26 * size else 1
    align = "justify" if pen.chance(0.65) else "left"
    end = bottom if pen.chance(0.75) else top + (bottom - top) * pen.between(0.35, 0.9)
    for column in blocks.columns((left, y, right, end), count, size * 2):
        blocks.flow(pen, column, align)
    if pen.chance(0.7):
        ink.write(pen, ((left + right) / 2, bottom + size * 0.8), str(pen.count(1, 300)), round(size * 0.9), "mt")


def report(pen: Pen) -> None:
    """Print a report: heading, a table across the page, and a list."""
    left, top, right, bottom = box = _body(pen)
    size = pen.face.size
    if pen.chance(0.4):
        pen.draw.rectangle((0, 0, pen.image.width, top + size * 2.6), pen.accent)
        scripts.heading(replace(pen, ink=pen.paper, accent=pen.paper), box, size * 1.6)
        y = top + size * 4
    else:
        y = scripts.heading(pen, box, size * pen.between(1.5, 2.4)) + size
    y = scripts.paragraph(pen, (left, y, right, y + size * 5)) + size
    y = blocks.table(pen, (left, y, right, y + (bottom - y) * pen.between(0.4, 0.95)), amounts=pen.chance(0.6)) + size
    blocks.bullets(pen, (left, y + size, right, bottom))


def brochure(pen: Pen) -> None:
    """Print a brochure or magazine page: a large photo with a title on it, and columns of text."""
    w, h = pen.image.size
    size = pen.face.size
    share = pen.between(0.3, 1.05)
    above = pen.chance(0.7)
    top = 0.0 if above or share > 0.8 else h * (1 - share)
    pictures.picture(pen, (0, top, w, min(h, top + h * share) if share < 0.8 else h))
    on_photo = replace(pen, ink=(250, 250, 250), accent=pen.accent)
    if share > 0.8 or pen.chance(0.5):
        scripts.heading(on_photo, (w * 0.07, top + h * 0.06, w * 0.93, h), size * pen.between(3, 6))
    if share > 0.8:
        if pen.chance(0.6):
            pen.draw.rectangle((0, h * 0.8, w, h), pen.accent)
        scripts.paragraph(on_photo, (w * 0.07, h * 0.83, w * 0.7, h * 0.96))
        return
    start = h * share if above else 0.0
    text = (w * 0.07, start + size * 2, w * 0.93, start + h * (1 - share) - size * 2)
    y = scripts.heading(pen, text, size * pen.between(1.5, 3)) + size
    for column in blocks.columns((text[0], y, text[2], text[3]), pen.count(1, 3), size * 1.5):
        scripts.headings_or_text(pen, column, "justify", 1.4)


def certificate(pen: Pen) -> None:
    """Print a certificate: ornamental frame, centered lines, seal and signatures."""
    w, h = pen.image.size
    inset, size = min(w, h) * pen.between(0.03, 0.07), min(w, h) * 0.03
    pictures.guilloche(pen, (inset, inset, w - inset, h - inset))
    for k, thick in ((1.0, 3), (1.4, 1)):
        pen.draw.rectangle((inset * k, inset * k, w - inset * k, h - inset * k), None, pen.accent, thick)
    y = scripts.heading(pen, (w * 0.15, h * 0.16, w * 0.85, h), size * 2.6, "center")
    for _ in range(pen.count(3, 7)):
        scripts.line(pen, scripts.alike(pen, size), (w * pen.between(0.15, 0.3), y + size, w * 0.8), "center")
        y += size * 2
    blocks.stamp(pen, (w * 0.4, h * 0.78, w * 0.6, h * 0.84), size)
    for x in (0.15, 0.62):
        blocks.signature(pen, (w * x, h * 0.78, w * (x + 0.22), h * 0.86))


def form(pen: Pen) -> None:
    """Print a form: title, and sections of fields, tick boxes and sometimes tables."""
    left, _, right, bottom = box = _body(pen)
    size, filled = pen.face.size, pen.chance(0.6)
    y = scripts.heading(pen, box, size * pen.between(1.4, 2.2)) + size
    framed = pen.chance(0.5)
    while y < bottom - size * 5:
        if pen.chance(0.5):
            pen.draw.rectangle((left, y, right, y + size * 1.8), ink.mix(pen.paper, pen.accent, pen.between(0.15, 0.5)))
            scripts.line(pen, pen.face, (left + 3, y, right))
            y += size * 2.6
        kind, start = float(pen.rng.random()), y
        if kind < 0.16:
            y = blocks.table(pen, (left, y, right, min(bottom, y + size * pen.between(8, 16))), row=2.4)
        elif kind < 0.4:
            y = blocks.bullets(pen, (left, y, right, min(bottom, y + size * pen.between(5, 12))))
        else:
            for _ in range(pen.count(1, 4)):
                if y < bottom - size * 4:
                    for cell in blocks.columns((left + 4, y, right - 4, y + size * 4), pen.count(1, 3), size):
                        blocks.field(pen, cell, filled=filled and pen.chance(0.85))
                    y += size * 4.8
        if framed and y > start:
            pen.draw.rectangle((left, start - size * 0.4, right, y), None, pen.ink)
        y += size * 1.2
    if pen.chance(0.6):
        blocks.signature(pen, (left + (right - left) * 0.55, bottom - size * 3, right - size * 3, bottom))


def invoice(pen: Pen) -> None:
    """Print an invoice: logo, number, address, table of amounts, totals, bank details and a code."""
    left, top, right, bottom = _body(pen)
    size, wide = pen.face.size, right - left
    if pen.chance(0.3):
        pen.draw.rectangle((0, 0, pen.image.width, top + size * 6), ink.mix(pen.paper, pen.accent, pen.between(0.1, 1)))
    blocks.logo(pen, (left, top, left + size * 5, top + size * 5))
    scripts.heading(pen, (left + wide * 0.6, top, right, bottom), size * 2.2)
    y = top + size * 8
    for part in blocks.columns((left, y, right, y + size * 6), 2, wide * 0.25):
        scripts.paragraph(pen, part)
    y = blocks.table(pen, (left, y + size * 8, right, top + (bottom - top) * pen.between(0.45, 0.78)), amounts=True)
    for k in range(pen.count(2, 4)):
        row = y + size * (1 + 1.7 * k)
        scripts.line(pen, pen.face, (left + wide * 0.6, row, left + wide * 0.8))
        ink.write(pen, (right - 3, row), blocks.money(pen), size, "ra")
    pen.draw.line((left + wide * 0.6, row - 2, right, row - 2), pen.ink, 2)
    if pen.chance(0.4):
        blocks.square_code(pen, (left, bottom - size * 9), size * 8)
    elif pen.chance(0.4):
        blocks.barcode(pen, (left, bottom - size * 6, left + wide * 0.4, bottom - size * 2))
    scripts.paragraph(pen, (left + wide * 0.5, bottom - size * 5, right, bottom))


_SHEETS: tuple[tuple[float, Layout], ...] = (
    (0.26, article),
    (0.18, letter),
    (0.16, report),
    (0.15, brochure),
    (0.05, certificate),
    (0.04, leaves.childs_drawing),
    (0.16, blank),
)
LAYOUTS: dict[str, tuple[tuple[float, Layout], ...]] = {
    "a4": _SHEETS,
    "letter": _SHEETS,
    "form": ((1.0, form),),
    "invoice": ((1.0, invoice),),
    "receipt": ((0.96, cards.receipt), (0.04, blank)),
    "card": ((0.42, cards.bank_card), (0.12, cards.magnetic_back), (0.24, cards.member_card), (0.22, cards.ticket)),
    "id-card": ((1.0, cards.identity_card),),
    "business-card": ((0.88, cards.business_card), (0.12, blank)),
    "book": ((0.95, leaves.book_page), (0.05, blank)),
    "spread": ((1.0, leaves.book_spread),),
    "notebook": ((1.0, leaves.notebook),),
    "note": ((0.72, leaves.note), (0.1, leaves.childs_drawing), (0.18, blank)),
    "photo": ((0.75, leaves.photo_print), (0.25, leaves.postcard_back)),
    "graphic": (
        (0.22, graphics.board),
        (0.12, graphics.puzzle),
        (0.2, graphics.chart),
        (0.22, graphics.poster),
        (0.16, graphics.plan),
        (0.08, graphics.music),
    ),
}
"""Rate and function of each layout by kind of page. The rates of a kind sum to 1."""
