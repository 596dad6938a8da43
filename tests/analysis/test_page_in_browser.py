"""The page in a real browser: what it shows, how it answers, and whether everybody can use it."""

import json
from importlib.resources import files
from importlib.util import find_spec

import numpy as np
import pytest
from browser import EXECUTABLE, Browser
from synthetic_store import config, write_run

from bench.analysis.numbers.findings import Request
from bench.analysis.plots.style import METRICS
from bench.analysis.report.writing import write_report

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="needs Chromium: apt install chromium")
needs_axe = pytest.mark.skipif(
    find_spec("axe_core_python") is None, reason="needs axe: pip install axe-core-python"
)
WIDTHS = (1400, 400)
DICE = {"mse": 0.5, "ncc": 0.7, "vgg": 0.6}
WEIGHTS = (0.25, 0.5, 1.0)
TOOLTIP = """(function text(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  if (["STYLE", "SCRIPT"].includes(node.nodeName)) return "";
  return [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(text).join(" ");
})(document.querySelector("body > .bk-Tooltip") ?? new Text("")).replace(/\\s+/g, " ")"""
ROOT = "Bokeh.index.roots.find(root => document.getElementById(NAME).contains(root.el))"
PLACE = f"""(() => {{
  const view = {ROOT}, at = view.el.getBoundingClientRect();
  const drawn = view.model.renderers.filter(one => one.name === LABEL);
  const marks = drawn.find(one => one.glyph.type === "Scatter");
  const first = (name, scale) => scale.compute(marks.data_source.get_column(name)[0]);
  const {{ x, y }} = marks.glyph;
  return [at.x + first(x.field, view.frame.x_scale), at.y + first(y.field, view.frame.y_scale)];
}})()"""
PIXELS = f"""(() => {{
  const canvas = {ROOT}.canvas_view.primary.canvas, wanted = COLOR;
  const size = [canvas.width, canvas.height];
  const copy = new OffscreenCanvas(...size).getContext("2d", {{ willReadFrequently: true }});
  copy.drawImage(canvas, 0, 0);
  const {{ data }} = copy.getImageData(0, 0, ...size);
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    if (wanted.every((value, channel) => data[i + channel] === value)) count++;
  return count;
}})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    for metric, dice in DICE.items():
        for weight in WEIGHTS:
            path = dice - 0.02 * abs(weight - 0.5) + np.array([0.0, 0.013, -0.01, 0.02])
            smoothness = np.full(4, 0.05 / weight + 0.01 * dice)
            settings = config(metric=metric, weight=weight)
            write_run(results, settings, path, val_dice=path.mean(), sdlogj=smoothness)
    write_report(Request(results), results / "report")
    return results / "report" / "index.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(params=WIDTHS)
def opened(browser, page, request):
    browser.complaints.clear()
    browser.requested.clear()
    browser.open(page, request.param)
    for i in range(browser.value("document.querySelectorAll('.plot').length")):
        place = f"document.querySelectorAll('.plot')[{i}]"
        browser.value(f"{place}.scrollIntoView()")
        browser.wait(f"{place}.children.length")
    browser.wait("Bokeh.documents.every(one => one.is_idle)")
    yield browser
    assert browser.complaints == []
    assert browser.requested[0] == page.as_uri()
    assert all(url.startswith(("data:", "blob:")) for url in browser.requested[1:])


def asked(browser, script, **values):
    for name, value in values.items():
        script = script.replace(name, json.dumps(value))
    return browser.value(script)


def hover(browser, plot, label, *expected):
    """Points at the first mark of a label, and waits for what it says."""
    asked(browser, "document.getElementById(NAME).scrollIntoView({block: 'center'})", NAME=plot)
    browser.point(*asked(browser, PLACE, NAME=plot, LABEL=label))
    browser.wait(f"(said => {json.dumps(expected)}.every(text => said.includes(text)))({TOOLTIP})")


def test_page_fits_its_window_and_shows_all_figures(opened):
    width = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    content, window = opened.value(width)
    assert content <= window
    missing = "[...document.images].filter(image => !(image.naturalWidth > 100)).map(i => i.src)"
    assert opened.value(missing) == []
    target = "document.getElementById(decodeURIComponent(link.hash.slice(1)))"
    dead = f"[...document.links].filter(link => !{target}).length"
    assert opened.value("document.querySelectorAll('nav a').length") >= 8
    assert opened.value(dead) == 0


def test_hovering_names_method_and_numbers_or_the_pair(opened):
    hover(opened, "front-demo", "ncc", "method ncc", "λ 0.25", "Dice 0.701", "SD log J 0.2070")
    hover(opened, "boxes-demo", "vgg", "method vgg", "moving 000", "fixed 004", "Dice 0.600")
    hover(opened, "lambda-demo", "mse", "method mse", "λ 0.25", "validation Dice 0.501")


def test_a_legend_hides_its_method_in_all_plots(opened):
    color = [int(METRICS["ncc"][0][i : i + 2], 16) for i in (1, 3, 5)]
    button = "document.querySelector('#figure-dice [data-label=ncc]')"

    def drawn():
        opened.value("new Promise(requestAnimationFrame)")
        return asked(opened, PIXELS, NAME="front-demo", COLOR=color)

    before = drawn()
    assert before > 50
    opened.value(f"{button}.focus()")
    opened.press("Enter")
    opened.wait(f"{button}.ariaPressed === 'false'")
    assert drawn() == 0
    others = "[...document.querySelectorAll('[data-label=ncc]')].map(one => one.ariaPressed)"
    assert set(opened.value(others)) == {"false"}
    opened.value("document.querySelector('.legend .all').click()")
    assert drawn() == before


def test_headings_sort_by_keyboard(opened):
    head = (
        "[...document.querySelectorAll('#results th')].find(cell => cell.textContent === 'Dice ↑')"
    )
    rows = "[...document.getElementById('results').tBodies[0].rows]"
    labels = f"{rows}.map(row => row.cells[1].textContent)"
    opened.value(f"{head}.firstChild.focus()")
    assert opened.value(labels) == ["unregistered", "mse", "ncc", "vgg"]
    for key, order, state in (
        ("Enter", ["ncc", "vgg", "mse", "unregistered"], "descending"),
        (" ", ["unregistered", "mse", "vgg", "ncc"], "ascending"),
    ):
        opened.press(key)
        assert opened.value(labels) == order
        assert opened.value(f"{head}.ariaSort") == state
    opened.press("Tab")
    assert opened.value("document.activeElement.textContent") == "Δ Dice"
    outlined = "getComputedStyle(document.activeElement).outlineStyle"
    assert opened.value(outlined) == "solid"


@needs_axe
def test_axe_finds_nothing_serious(opened):
    opened.value("for (const details of document.querySelectorAll('details')) details.open = true")
    opened.value(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = opened.value("axe.run()")
    assert len(found["passes"]) > 20
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []


@needs_axe
def test_axe_would_find_a_picture_without_words(browser, page):
    mute = page.with_name("mute.html")
    mute.write_text(page.read_text().replace('alt="', 'data-alt="'))
    browser.open(mute, 1400)
    browser.value(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = browser.value("axe.run()")["violations"]
    assert {(one["id"], one["impact"]) for one in found} & {("image-alt", "critical")}


def test_print_shows_pictures_and_opens_the_findings(browser, page):
    browser.open(page, 1400)
    shown = "[...document.querySelectorAll('SELECTOR')].filter(one => one.offsetHeight > 0).length"
    plots, stills = (shown.replace("SELECTOR", name) for name in (".plots", ".live .still"))
    assert browser.value(plots) == browser.value("document.querySelectorAll('.plots').length")
    assert browser.value(stills) == 0
    browser.send("Emulation.setEmulatedMedia", media="print")
    browser.value("dispatchEvent(new Event('beforeprint'))")
    assert browser.value(plots) == 0
    assert browser.value(stills) == browser.value("document.querySelectorAll('.live').length") > 0
    assert browser.value("document.querySelectorAll('.headline + details[open]').length") == 1
    browser.send("Emulation.setEmulatedMedia", media="")


def test_error_in_the_page_would_be_seen(browser, page):
    broken = page.with_name("broken.html")
    broken.write_text(page.read_text() + "<script>nowhere()</script>")
    browser.complaints.clear()
    browser.open(broken, 1400)
    assert any("nowhere is not defined" in complaint for complaint in browser.complaints)
