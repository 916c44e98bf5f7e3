"""What the site has beside the pages of this folder: READMEs, notebooks, reports, formulas."""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

TOP = Path(__file__).parent.parent

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "docker/README.md": "docker.md",
    "notebooks/README.md": "notebooks/index.md",
}
"""From a file of the repository to its page, so that no text is there twice."""

LINK = re.compile(r"""(\]\(|(?:src|srcset|href)=")([^)"\s#]+)""")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in this folder."""
    for path, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(TOP / path)))
    for notebook in sorted((TOP / "notebooks").glob("*.ipynb")):
        _add_notebook(notebook, files, config)
    _add_reports(files, config)
    return files


def _add_notebook(notebook: Path, files: Files, config: MkDocsConfig) -> None:
    """Add a notebook with the outputs it was saved with."""
    exporter = MarkdownExporter()  # type: ignore[no-untyped-call]
    where = {"unique_key": notebook.stem, "output_files_dir": f"{notebook.stem}_files"}
    text, resources = exporter.from_filename(str(notebook), where)
    files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=text))
    for name, content in resources["outputs"].items():
        files.append(File.generated(config, f"notebooks/{name}", content=content))


def _add_reports(files: Files, config: MkDocsConfig) -> None:
    """Record runs and add their pages, as `losses report` writes them."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(TOP / "docs/recorded.py"), folder]
        subprocess.run(command, check=True)
        for report in sorted(Path(folder).glob("*.html")):
            content = report.read_text(encoding="utf-8")
            files.append(File.generated(config, f"reports/{report.name}", content=content))


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Point links between files of the repository at their pages."""
    folder = posixpath.dirname(_source_of(page.file.src_uri))

    def to_page(match: re.Match[str]) -> str:
        uri = _page_of(posixpath.normpath(posixpath.join(folder, match[2])))
        if files.get_file_from_path(uri) is None:
            return match[0]
        return match[1] + posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(to_page, markdown)


def _source_of(uri: str) -> str:
    """Where the repository has the text of a page."""
    readme = next((path for path, page in PAGES.items() if page == uri), None)
    return readme or (uri if uri.startswith("notebooks/") else f"docs/{uri}")


def _page_of(path: str) -> str:
    """Where the site has a file of the repository."""
    if path.startswith("notebooks/"):
        return PAGES.get(path, path.replace(".ipynb", ".md"))
    return PAGES.get(path, path.removeprefix("docs/"))


def on_page_content(html: str, **_: Any) -> str:
    """Make MathML of formulas, which browsers draw without a script."""
    return FORMULA.sub(_to_mathml, html)


def _to_mathml(match: re.Match[str]) -> str:
    display = "block" if match[1] == "div" else "inline"
    return convert(unescape(match[2]).strip(), display=display)
