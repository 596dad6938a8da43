"""The documentation: links hold in the repository, and the site builds without a warning."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "datasets/*/README.md", "results/README.md")
    for path in ROOT.glob(pattern)
)
NOTEBOOKS = sorted(ROOT.glob("docs/**/*.ipynb"))
LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)")
CONTRACTS = (
    *("pair.Pair", "similarity.base.Similarity", "regularizers.Diffusion", "models.method.Method"),
    *("extractors.protocol.FeatureNetwork", "tasks.task.Task", "scores.score.Score"),
    "data.sources.source.Source",
)


class Parsed(HTMLParser):
    """What a page names: ids, links, and what a browser loads by itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.ids.add(given.get("id") or given.get("name") or "")
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        elif source := given.get("src") or (tag == "link" and given.get("href")):
            self.loaded.append(str(source))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CONTRIBUTING.md says; a warning would end the build."""
    for package in ("mkdocs", "material", "mkdocstrings", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    outside = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}  # set for files only
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=outside | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    lost = [
        link
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert not lost


def test_every_page_has_a_place_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"[\w./]+\.md", navigation))
    shown = {str(path.relative_to(ROOT)) for path in (*PAGES, *NOTEBOOKS)}
    assert listed == {name.replace(".ipynb", ".md") for name in shown}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 3
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.timeout(600)
def test_links_of_the_site_lead_to_pages_and_places(site: Path) -> None:
    pages = {path: Parsed(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > len(PAGES)
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / unquote(file)).resolve() if file else path
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            if anchor and target.suffix == ".html":
                assert unquote(anchor) in pages[target].ids, f"{path.relative_to(site)}: {link}"


def test_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = Parsed(path).loaded
        assert loaded
        assert not [source for source in loaded if re.match(r"(?!data:)([a-z]+:|//)", source)]


def test_notebook_is_shown_with_what_it_gives(site: Path) -> None:
    page = (site / "docs" / "tutorials" / "panel.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3  # pair, metrics, panel
    scores = dict(re.findall(r"(mse|ncc|mind) +Dice (0\.\d+) +TRE ", page))
    assert set(scores) == {"mse", "ncc", "mind"}
    assert all(float(dice) > 0.7 for dice in scores.values())  # unregistered 0.5


def test_reference_describes_every_contract(site: Path) -> None:
    ids = Parsed(site / "docs" / "reference.html").ids
    assert {f"bench.{name}" for name in CONTRACTS} <= ids
