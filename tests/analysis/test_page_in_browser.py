"""The page in a real browser."""

import re
import shutil
import subprocess

import pytest
from synthetic_store import config, write_run

from bench.analysis.numbers.findings import Request
from bench.analysis.report.writing import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt install chromium")
PROBE = """<script>
const table = document.getElementById("results");
const head = [...table.tHead.rows[0].cells].find(cell => cell.textContent === "Dice ↑");
const labels = () => [...table.tBodies[0].rows].map(row => row.cells[1].textContent).join(",");
const orders = [];
for (let i = 0; i < 2; i++) { head.click(); orders.push(labels()); }
const loaded = [...document.images].filter(image => image.complete && image.naturalWidth > 100);
document.title = `orders ${orders.join(" then ")}; images ${loaded.length}`;
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    for metric, dice in (("mse", 0.5), ("ncc", 0.7), ("vgg", 0.6)):
        write_run(results, config(metric=metric), [dice, dice + 0.01, dice - 0.01])
    write_report(Request(results), results / "report")
    return results / "report" / "index.html"


def open_page(path, *options):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={path.parent / 'browser'}", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*command, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@needs_browser
def test_page_opens_sorts_and_shows_its_figures(page):
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text() + PROBE)
    shown, console = open_page(probed, "--dump-dom")
    assert console == []
    (title,) = re.findall("<title>(.*?)</title>", shown)
    orders = "orders ncc,vgg,mse,unregistered then unregistered,mse,vgg,ncc"
    assert title == f"{orders}; images {page.read_text().count('<img ')}"


@needs_browser
def test_error_in_the_page_would_be_seen(page):
    broken = page.with_name("broken.html")
    broken.write_text(page.read_text() + "<script>nowhere()</script>")
    _, console = open_page(broken, "--dump-dom")
    assert any("nowhere is not defined" in line for line in console)
