"""Letters in pictures: names in any script are drawn, or told; never question marks."""
import numpy as np
import pytest

from ademxapp.evaluation import pictures
from ademxapp.evaluation.pictures import captioned_grid, drawable


@pytest.fixture(autouse=True)
def no_memory():
    for cached in (pictures._font_with, pictures._system_fonts, pictures._tell):
        cached.cache_clear()


def grid(name):
    """A picture that has the name in its caption and its legend."""
    return captioned_grid([np.zeros((20, 160, 3), np.uint8)], [name], 1, [((255, 0, 0), name)])


def test_latin_letters_are_in_pillows_own_font_however_accents_are_written():
    assert drawable("Stra\u00dfe") == ("Stra\u00dfe", None) and drawable("Ba\u0308ume") == ("B\u00e4ume", None)


@pytest.mark.parametrize("one, other", [("\u0434\u043e\u043c", "\u043b\u0435\u0441"), ("\u03b1", "\u03c9")])
def test_cyrillic_and_greek_are_drawn(one, other, caplog):
    text, font = drawable(one)
    assert text == one and font is not None and not caplog.records
    assert (grid(one) != grid("??")).any() and (grid(one) != grid(other)).any()


def test_a_font_of_the_systems_has_what_the_bundled_one_lacks(monkeypatch):
    tree = "\u6811"
    monkeypatch.setattr(pictures, "_system_fonts", lambda: ("/none.ttf", "/cjk.ttf"))
    own = pictures._bundled()
    monkeypatch.setattr(pictures, "_letters", lambda path: {own: {0x434}, "/cjk.ttf": {0x6811, 0x434}}.get(path, set()))
    monkeypatch.setattr(pictures.ImageFont, "truetype", lambda path, size: path)
    assert drawable(tree) == (tree, "/cjk.ttf") and drawable("\u0434" + tree)[1] == "/cjk.ttf"
    assert drawable("\u0434") == ("\u0434", own)


def test_letters_that_no_font_has_are_numbers_and_told_once(monkeypatch, caplog):
    monkeypatch.setattr(pictures, "_system_fonts", lambda: ())
    tree, letter = "\u6811", "\u6811".encode("ascii", "backslashreplace").decode()
    assert drawable("A" + tree)[0] == "A" + letter
    assert (grid(tree) != grid("?")).any()
    assert (grid("\u8349") != grid(tree)).any()
    assert len(caplog.records) == 1 and "no font here has CJK letters" in caplog.text
