"""The site: what its pages promise is there, and it asks no other host for anything."""

from __future__ import annotations

import functools
import importlib
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from loss_dashboard.cli.losses import app
from multi_loss_weighting import __version__

from .dashboard.browser import Tab
from .once import once

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parent.parent
API = "".join(page.read_text(encoding="utf-8") for page in (TOP / "docs/api").glob("*.md"))
ASKS = re.compile(
    r"""<(?:script|link|img|iframe|source|video)\b[^>]*\b(?:src|srcset|href)=["']?(?:https?:)?//[^>]*>"""
    r"""|url\(["']?(?:https?:)?//[^)]*\)"""
)


def public_names(package: str) -> list[str]:
    module = importlib.import_module(package)
    names = [
        name
        for name, value in vars(module).items()
        if not (name.startswith("_") or isinstance(value, ModuleType))
    ]
    return getattr(module, "__all__", names)


@pytest.mark.parametrize(
    "package",
    [
        "multi_loss_weighting",
        "multi_loss_weighting.functional",
        "multi_loss_weighting.weighting",
        "loss_dashboard",
        "loss_loggers",
    ],
)
def test_each_public_name_is_in_the_api(package: str) -> None:
    places = (package, f"{package}.weighting")
    shown = {
        place: re.findall(rf"(?m)^::: {re.escape(place)}\.(?:sync\.)?(\w+)$", API)
        for place in places
    }

    missing = set(public_names(package)) - {name for names in shown.values() for name in names}

    assert missing == set()


def test_each_option_of_each_command_is_on_its_page() -> None:
    page = (TOP / "docs/dashboard.md").read_text(encoding="utf-8")
    options = {
        option
        for command in (app, *app.commands.values())
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }

    assert options > {"--open", "--dry-run"}
    assert {option for option in options if option not in page} == set()
    assert {name for name in app.commands if f"losses {name}" not in page} == set()


def test_the_citation_follows_its_schema_and_has_the_version_of_the_package() -> None:
    tool = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("needs check-jsonschema, of the dev group")
    schema = "--builtin-schema=vendor.citation-file-format"
    done = subprocess.run(
        [tool, schema, str(TOP / "CITATION.cff")], capture_output=True, text=True, check=False
    )
    version = re.compile(r"^version: ([\d.]+)", re.MULTILINE)

    assert done.returncode == 0, done.stdout
    assert version.findall((TOP / "CITATION.cff").read_text()) == [__version__]


def test_a_release_has_no_path_that_pypi_would_have_to_follow(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("docs/on_pypi.py", "README.md", "pyproject.toml"):
        shutil.copy(TOP / name, tmp_path / name)

    subprocess.run([sys.executable, "docs/on_pypi.py", "we/us", "v1"], cwd=tmp_path, check=True)

    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    targets = map("".join, re.findall(r'\]\(([^)#]+)|(?:src|srcset)="([^"]+)"', readme))
    ours = "https://github.com/we/us/"
    paths = [path.removeprefix(ours).split("/", 2)[2] for path in targets if path.startswith(ours)]
    assert len(paths) > 30
    assert all((TOP / path).is_file() for path in paths)
    assert not re.findall(r'(?:\]\(|src="|srcset=")(?!https://|#)', readme)
    assert (tmp_path / "pyproject.toml").read_text("utf-8").endswith('"https://github.com/we/us"\n')


def test_each_page_is_reached_from_the_readme_by_links_that_lead_somewhere() -> None:
    folders = (TOP, *(TOP / name for name in ("docs", "docker", "notebooks", "benchmarks")))
    pages = {page for folder in folders for page in folder.glob("*.md")}
    reached: set[Path] = set()
    unread = {TOP / "README.md"}
    while unread:
        page = unread.pop()
        reached.add(page)
        text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
        found = map("".join, re.findall(r'\]\(([^)#\s]+)|(?:href|src|srcset)="([^"#]+)"', text))
        links = {page.parent / link for link in found if "://" not in link}
        # The site alone has these; their page says so.
        links = {Path(os.path.normpath(link)) for link in links if link.parent.name != "reports"}
        assert {link for link in links if not link.exists()} == set(), page
        unread |= {link for link in links if link.suffix == ".md"} - reached

    assert pages - reached == set()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built anew with warnings as errors; of its runs a twentieth is recorded."""
    for module in ("mkdocs", "material", "mkdocstrings", "latex2mathml", "nbconvert"):
        pytest.importorskip(module, reason="building the site needs the docs group")

    def build(folder: Path) -> None:
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir"]
        command.append(str(folder / "site"))
        environment = os.environ | {"RECORDED_SHARE": "0.05"}
        done = subprocess.run(
            command, cwd=TOP, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    return once(tmp_path_factory, "docs", build) / "site"


def test_no_page_names_another_host_for_a_script_a_style_or_a_picture(site: Path) -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    styles = {style.name: style.read_text(encoding="utf-8") for style in site.rglob("*.css")}

    assert len(pages) > 20
    asking = {name: ASKS.findall(text) for name, text in (pages | styles).items()}
    assert {name: found for name, found in asking.items() if found} == {}


def test_formulas_need_no_script_and_examples_are_code(site: Path) -> None:
    concepts = (site / "concepts.html").read_text(encoding="utf-8")
    api = (site / "api/multi_loss_weighting.html").read_text(encoding="utf-8")

    assert concepts.count("<math") > 20
    assert "arithmatex" not in concepts
    assert re.search(r"\\[a-z]+\{", concepts) is None
    assert api.count('<span class="gp">&gt;&gt;&gt; </span>') > 20
    assert "<p>&gt;&gt;&gt;" not in api


def test_recorded_runs_are_pages_in_a_page_and_alone(site: Path) -> None:
    page = (site / "live.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'<iframe class="report" src="(.*?)"', page))

    assert shown == {f"reports/{name}.html" for name in ("gan", "seeds", "many")}
    assert all(f'href="{report}"' in page for report in shown)
    assert (site / "llms.txt").read_text("utf-8") == (TOP / "docs/llms.txt").read_text("utf-8")


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_each_page_fits_a_phone_and_asks_only_its_own_host(
    site: Path, address: str, browser: Any
) -> None:
    pages = sorted(str(page.relative_to(site)) for page in site.rglob("*.html"))
    tab = Tab(browser, width=390)
    widths = {
        page: tab.open(f"{address}/{page}").evaluate("document.documentElement.scrollWidth")
        for page in pages
    }
    tab.context.close()

    assert {page: found for page, found in widths.items() if found > 390} == {}
    assert [url for url in tab.asked if not url.startswith((address, "data:"))] == []
    assert tab.wrong == []
