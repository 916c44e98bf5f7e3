"""Name the repository in what PyPI shows, which follows no path: the release workflow calls this.

python docs/on_pypi.py OWNER/NAME TAG        changes README.md and pyproject.toml in place
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PATH = re.compile(r'(\]\(|\b(?:src|srcset)=")(?!https?:|#)([^)"]+)')


def with_addresses(text: str, repository: str, tag: str) -> str:
    """The text with the address of each file that it links to or shows."""

    def address(match: re.Match[str]) -> str:
        before, path = match.groups()
        kind = "raw" if path.endswith(".png") else "blob"
        return f"{before}https://github.com/{repository}/{kind}/{tag}/{path}"

    return PATH.sub(address, text)


if __name__ == "__main__":
    repository, tag = sys.argv[1:]
    readme, project = TOP / "README.md", TOP / "pyproject.toml"
    readme.write_text(with_addresses(readme.read_text("utf-8"), repository, tag), "utf-8")
    with project.open("a", encoding="utf-8") as file:
        file.write(f'\n[project.urls]\nRepository = "https://github.com/{repository}"\n')
