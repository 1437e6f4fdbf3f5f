"""The picture of the plug-in in the manuals: a real screen, cell by cell, and no dressing."""

from pathlib import Path

import pytest
from homes import ROOT, Home
from neovims import WIDTH, Neovim, Picture, Screen

PICTURE = ROOT / "editors" / "neovim" / "pictures" / "note.png"
MOST_BYTES = 100_000
FONTS = Path("/usr/share/fonts/truetype/dejavu")
SIZE = 20  # pixels, of the font
NOTE = """# The garden

The beans have come up at last, and nobody has weeded since June.
"""


def test_picture_of_a_note(home: Home, version: str) -> None:
    """Grey text in a note, as a terminal would show it; written anew only when it is not there."""
    if version == "0.11":
        pytest.skip("one picture is enough")
    image = pytest.importorskip("PIL.Image", reason="Pillow is not set up: make editors")
    if not (FONTS / "DejaVuSansMono.ttf").exists():
        pytest.skip("the font DejaVu Sans Mono is not set up: fonts-dejavu-core")
    sentence = ("The best thing about the garden is ", "that it goes on without us")
    home.learn(sentence, name="garden.md")
    init = "set laststatus=2 noruler noshowcmd noshowmode number\nhighlight! link LineNr NonText\n"
    init += "set statusline=\\ note.md%=%{v:lua.require'afterword'.statusline()}\\ "
    nvim = Neovim(home, version, home.file("note.md", NOTE), init=init).ready()
    try:
        nvim.keys("Go" + sentence[0])
        nvim.shows(sentence[1] + ".")
        nvim.has("✎")
        picture = drawn(nvim.screen, nvim.screen.pictures[-1], image)
    finally:
        nvim.quit()
    assert picture.size[0] > WIDTH
    if not PICTURE.exists():
        PICTURE.parent.mkdir(exist_ok=True)
        picture.quantize(32).save(PICTURE, optimize=True)
    assert PICTURE.stat().st_size <= MOST_BYTES


def drawn(screen: Screen, picture: Picture, image):  # type: ignore[no-untyped-def]
    """Its cells as pixels: the text's rows, and the two below."""
    from PIL import ImageDraw, ImageFont

    fonts = [
        ImageFont.truetype(str(FONTS / name), SIZE)
        for name in ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf")
    ]
    width, height = round(fonts[0].getlength("m")), round(SIZE * 1.45)
    rows = [*picture.cells[:8], picture.cells[-2]]
    canvas = image.new(
        "RGB", (width * (WIDTH + 2), height * (len(rows) + 1)), _rgb(screen.colours[1])
    )
    draw = ImageDraw.Draw(canvas)
    for y, row in enumerate(rows):
        for x, (text, id) in enumerate(row):
            look = picture.highlights.get(id, {})
            ink = look.get("foreground", screen.colours[0])
            ground = look.get("background", screen.colours[1])
            if look.get("reverse"):
                ink, ground = ground, ink
            if (y, x) == picture.cursor:
                ink, ground = screen.colours[1], screen.colours[0]
            at = ((x + 1) * width, y * height + height // 2)
            draw.rectangle((*at, at[0] + width, at[1] + height), fill=_rgb(ground))
            draw.text((at[0], at[1] + 2), text, fill=_rgb(ink), font=fonts[bool(look.get("bold"))])
    return canvas


def _rgb(colour: int) -> tuple[int, int, int]:
    return colour >> 16, colour >> 8 & 255, colour & 255
