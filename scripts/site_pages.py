"""What the site shows, for mkdocs.yml: files at their paths in the repository, so that links hold.

README.md is the first page, the data sets' READMEs lie beside docs/. A folder of exported tables
gets a page that lists them. A notebook is run, in a folder of its own, and shown with its outputs.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
PATTERNS = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"),
    *("results/README.md", "datasets/*/README.md", "docs/**/*"),
)
LINK = re.compile(r"(?<=\]\()[^)\s:#]+(?=[)#])")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
SECONDS = 300  # that a cell of a notebook may take


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the theme, and those of the repository that are shown."""
    theirs = [file for file in files if file.src_dir != config.docs_dir]
    paths = [path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern)) if path.is_file()]
    return Files([*theirs, *(file for path in paths for file in _files(path, config))])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page whose links to folders and notebooks lead to their pages."""
    folder = (ROOT / page.file.src_uri).parent

    def linked(match: re.Match[str]) -> str:
        target = folder / match[0]
        if target.is_dir():
            return f"{match[0].rstrip('/')}/README.md"
        return str(Path(match[0]).with_suffix(".md")) if target.suffix == ".ipynb" else match[0]

    return LINK.sub(linked, markdown)


def _files(path: Path, config: MkDocsConfig) -> Iterator[File]:
    """A file of the repository, and the page that shows it if it is none itself."""
    uri = path.relative_to(ROOT).as_posix()
    shown = File(uri, str(ROOT), config.site_dir, config.use_directory_urls)
    yield shown
    if path.suffix == ".ipynb":
        page = path.with_suffix(".md").relative_to(ROOT).as_posix()
        yield File.generated(config, page, content=_notebook(path))
    if path.name == "checksums.json":  # of exported tables
        names = sorted(file.name for file in path.parent.iterdir() if file.is_file())
        listed = "\n".join(f"- [{name}]({name})" for name in names)
        page = (path.parent / "README.md").relative_to(ROOT).as_posix()
        yield File.generated(config, page, content=f"# {path.parent.name}\n\n{listed}\n")


def _notebook(path: Path) -> str:
    """A notebook as Markdown, its cells run."""
    notebook = nbformat.read(path, as_version=4)
    folder = tempfile.mkdtemp()
    try:
        place = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=SECONDS, resources=place).execute()
    finally:
        shutil.rmtree(folder)
    return "\n\n".join(part for cell in notebook.cells for part in _cell(cell))


def _cell(cell: Any) -> Iterator[str]:
    """The Markdown of a cell: its text, or its code and what that gives."""
    if cell.cell_type != "code":
        yield cell.source
        return
    yield f"```python\n{cell.source}\n```"
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            yield f"![](data:image/png;base64,{data['image/png'].strip()})"
        elif text := output.get("text") or data.get("text/plain"):
            yield f"```text\n{ESCAPE.sub('', text).strip()}\n```"
