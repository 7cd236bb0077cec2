"""Charts, pictures and the report page: they show what they are given, escape it, and need nothing from outside."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from components.base.errors import UserError
from components.evaluation import pictures, plots
from components.evaluation.calibration import reliability
from components.evaluation.page import inline
from components.evaluation.report import Picture, ReportContext, Table, render
from components.evaluation.situation import NUMBERS

GROUPS = {"riding": "seen", "rowing": "rare", "surfing": "unseen", "feeding": "seen"}
EVIL = '<script>alert("x")</script><img src=http://example.org/a.png onerror=x>'


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def near(image, colour, tolerance=6):
    """[H, W] where an RGB image has a colour such as "#0072B2"."""
    rgb = [int(colour[i:i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(np.asarray(image).astype(int) - rgb) <= tolerance).all(-1)


# charts

def test_headline_bars_are_as_tall_as_their_values(tmp_path):
    rows = {"labels only (no teacher)": {"seen": (0.2, 0.1, 0.3)},
            "student": {"seen": (0.8, 0.7, 0.9), "unseen": (0.4,)}}
    image = pixels(plots.headline(rows, tmp_path / "a.png"))
    bars = near(image, "#0072B2")
    columns = np.flatnonzero(bars.sum(0))
    first, second = np.split(columns, [np.flatnonzero(np.diff(columns) > 20)[0] + 1])  # seen and unseen
    heights = [np.median(bars[:, part].sum(0)) for part in (first, second)]  # median: not the legend, not the whisker
    assert heights[0] / heights[1] == pytest.approx(2, rel=0.1)


def test_verb_bars_use_the_group_colours_and_mark_the_baseline(tmp_path):
    student = dict.fromkeys(GROUPS, 0.5)
    plain = pixels(plots.verb_bars(student, GROUPS, tmp_path / "a.png"))
    areas = {g: near(plain, plots.GROUPS[g]).sum() for g in ("seen", "rare", "unseen")}
    assert areas["seen"] > 1.5 * areas["rare"] > 0
    assert areas["unseen"] == pytest.approx(areas["rare"], rel=0.1)
    marked = pixels(plots.verb_bars(student, GROUPS, tmp_path / "b.png", baseline={"riding": 0.9}))
    assert near(marked, plots.INK).sum() > near(plain, plots.INK).sum() + 20


def test_confusion_shows_where_the_mass_is(tmp_path):
    right = pixels(plots.confusion(np.eye(4) * 10, list(GROUPS), GROUPS, tmp_path / "a.png"))
    wrong = pixels(plots.confusion(np.ones((4, 4)), list(GROUPS), GROUPS, tmp_path / "b.png"))
    assert near(right, "#003f63", 2).sum() > 4 * near(wrong, "#003f63", 2).sum()


def test_confusion_counts_true_in_rows():
    counts = plots.confusion_counts(["a", "a", "b", "a"], ["b", "b", "b", "a"], ["a", "b", "c"])
    assert counts.tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]
    with pytest.raises(KeyError):
        plots.confusion_counts(["a"], ["z"], ["a"])


def test_confusion_keeps_the_most_confused_of_many(tmp_path):
    share = np.eye(5)
    share[3] = [0, 0.5, 0, 0.5, 0]
    assert plots.most_confused(share, 2).tolist() == [1, 3]
    sizes = [Image.open(plots.confusion(np.eye(v) + 0.01, [f"v{i:03}" for i in range(v)], {}, tmp_path / "c.png")).size
             for v in (60, 90)]
    assert sizes[1][1] == pytest.approx(sizes[0][1], rel=0.02)


def test_the_reliability_diagram_draws_its_points(tmp_path):
    rng = np.random.default_rng(0)
    confidence = rng.random(300)
    bins = reliability(confidence, rng.random(300) < confidence)
    assert near(pixels(plots.reliability_diagram(bins, tmp_path / "r.png")), plots.GROUPS["seen"]).sum() > 500


def test_a_chart_that_fails_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        plots.verb_bars({"riding": 0.5}, GROUPS, tmp_path / "a.png", baseline={"riding": None})
    assert list(tmp_path.iterdir()) == []


# pictures

def prediction(box=(10, 20, 60, 80), verb="riding", noun="n1"):
    frame = {"agent": {"noun": noun, "name": "woman", "score": 0.9, "box": list(box) if box else None},
             "place": {"noun": "", "name": "", "score": 0.5, "box": None}}
    return {"image": "a.jpg", "verbs": [verb, "rowing"], "scores": [0.7, 0.2], "frames": {verb: frame}}


def truth(verb="riding", noun="n1"):
    return {"verb": verb, "frames": [{"agent": noun, "place": ""}] * 3}


GREY = np.full((100, 120, 3), 128, np.uint8)


def test_overlay_scales_up_and_draws_the_box_where_it_is():
    page = pictures.overlay(GREY, prediction())
    photo = np.asarray(page)[:400, :480]  # 120 x 100 pixels at scale 4
    ring = near(photo, "#0072B2")
    ys, xs = np.nonzero(ring)
    assert page.width > 480
    assert (xs.min(), xs.max()) == (pytest.approx(40, abs=3), pytest.approx(240, abs=3))
    assert ys.max() == pytest.approx(320, abs=3)
    assert near(photo[100:300, 60:220], "#808080").all()  # inside the box the photograph is untouched


def test_overlay_of_large_image_shrinks_and_keeps_aspect():
    page = pictures.overlay(np.zeros((300, 1200, 3), np.uint8), prediction(box=None))
    assert near(page, "#000000").sum() == pytest.approx(480 * 120, rel=0.02)


def test_overlay_marks_right_and_wrong():
    def marks(*args):
        page = pictures.overlay(GREY, *args)
        return near(page, pictures._RIGHT).sum() > 100, near(page, pictures._WRONG).sum() > 100
    assert marks(prediction()) == (False, False)
    assert marks(prediction(), truth()) == (True, False)
    assert marks(prediction(), truth(noun="n2")) == (True, True)
    assert marks(prediction(), truth(verb="rowing")) == (False, True)


def test_overlay_says_what_was_known_of_the_truth():
    plain, noted = (np.asarray(pictures.overlay(GREY, prediction(), truth(), note=n)) for n in ("", "unseen verb"))
    assert np.array_equal(plain[:, :480], noted[:, :480])  # the picture is the same, the caption is not
    assert near(noted, pictures._MUTED).sum() > near(plain, pictures._MUTED).sum()


@pytest.mark.parametrize("box", [(-50, -50, 500, 500), (119, 99, 119, 99), (200, 200, 300, 300)])
def test_overlay_takes_boxes_beyond_the_image(box):
    assert pictures.overlay(GREY, prediction(box)).height >= 400


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (900, 1, 3)])
def test_overlay_takes_any_size(shape):
    page = pictures.overlay(np.zeros(shape, np.uint8), prediction((0, 0, 1, 1)), truth())
    assert max(page.size) >= 350


def test_long_untrusted_text_stays_inside_the_page():
    said = prediction(verb="x" * 100_000)
    page = np.asarray(pictures.overlay(GREY, said, truth()))
    assert near(page[:, -34:], "#1f2933").sum() == 0  # the column of ticks and crosses


def test_gallery_holds_all_pictures_in_rows():
    items = [Image.new("RGB", (30 + i, 40), (200, 0, i)) for i in range(5)]
    page = pictures.gallery(items, 2, [f"picture {i}" for i in range(5)])
    shown = np.asarray(page)
    for i, item in enumerate(items):
        assert (shown == [200, 0, i]).all(-1).sum() == item.width * item.height
    assert page.height > 3 * 40
    assert pictures.gallery(items[:1], 4).width < 2 * 30 + 40
    with pytest.raises(ValueError, match="gallery"):
        pictures.gallery([], 2)


# the page

class Page(HTMLParser):
    """Collects what a browser would load, run and show."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.handlers, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href")]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture
def full(tmp_path):
    """A context with every section, and hostile text in each of them."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    picture = Picture(tmp_path / "a.png", "Right " + EVIL, "caption " + EVIL)
    table = Table("Roles " + EVIL, ["role", EVIL], [["agent " + EVIL, 12.345], ["tool", float("nan")]], note=EVIL)
    return ReportContext(
        title="Student 7 " + EVIL, subtitle=EVIL, verdict="rejected", reasons=["slow " + EVIL], subject="student",
        measure=EVIL, headline={"student": {"seen": (0.6661, 0.6, 0.7), "harmonic": (0.5,)}, EVIL: {"seen": (0.1,)}},
        numbers={"unseen " + EVIL: dict.fromkeys(NUMBERS, 0.1234)}, averaging=EVIL, protocol={EVIL: False},
        pictures=[picture], plots=[picture], tables=[table], edge={EVIL: 1.5}, edge_tables=[table],
        data={"dataset": EVIL}, settings={"a": {"b": EVIL}, "c": (1, 2)}, made={"run": EVIL})


def test_page_shows_everything_and_runs_nothing(full, tmp_path):
    out = render(full, tmp_path / "report.html")
    page = Page(out.read_text())
    assert "script" not in page.tags
    assert page.handlers == []
    assert len(page.links) == 2
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    for words in ("Rejected", "slow", "66.6", "60.0 – 70.0", "50.0", "12.3", "–", "1.50", "a.b", "no", EVIL):
        assert words in page.words, words
    assert page.words.count(EVIL) >= 15
    assert page.tags.count("h2") == 8
    assert not any(p.name.endswith(".tmp") for p in tmp_path.iterdir())


def test_every_section_is_optional(tmp_path):
    page = Page(render({"title": "Only a title"}, tmp_path / "r.html").read_text())
    assert "Evaluated only" in page.words
    assert "section" not in page.tags
    assert page.links == []


@pytest.mark.parametrize(("context", "message"), [
    ({"title": "t", "reason": []}, "did you mean 'reasons'"),
    ({"title": "t", "verdict": "accepted"}, "no verdict 'accepted'"),
    ({"title": "t", "plots": [Picture("nowhere.png", "x")]}, "picture is missing"),
    ({"title": "t", "plots": [Picture("report.svg", "x")]}, "not a picture that a page can hold"),
])
def test_mistakes_are_named_and_nothing_is_written(context, message, tmp_path):
    with pytest.raises(UserError) as error:
        render(context, tmp_path / "r.html")
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_inlined_image_is_the_file(tmp_path):
    Image.new("RGB", (3, 3), "blue").save(tmp_path / "p.JPG", "jpeg")
    head, body = inline(tmp_path / "p.JPG").split(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(body) == (tmp_path / "p.JPG").read_bytes()
