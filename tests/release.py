"""Look into the built wheel and sdist in `dist/`: what must and what must not be inside.

python tests/release.py [TAG]        TAG as in v0.1.0
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("multi_loss_weighting", "loss_loggers", "loss_dashboard")
IN_SDIST = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tests", "docs", "src")
NOWHERE = (".venv", ".git", "site", "dist", "__pycache__", ".hypothesis")
NOT_AT_TOP = ("runs", "tensorboard", "mlruns", "wandb")


def problems(tag: str | None) -> list[str]:
    """What is wrong with the release, in words."""
    (wheel,), (sdist,) = (ROOT / "dist").glob("*.whl"), (ROOT / "dist").glob("*.tar.gz")
    version = wheel.name.split("-")[1]
    return [*_wheel(wheel), *_sdist(sdist), *_versions(version, tag)]


def _wheel(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
    info = next(name for name in names if ".dist-info/" in name).partition("/")[0]
    wanted = [f"{package}/{name}" for package in PACKAGES for name in ("__init__.py", "py.typed")]
    sources = [file.relative_to(ROOT / "src") for file in (ROOT / "src").rglob("*.js")]
    wanted += [file.as_posix() for file in sources]
    found = [f"the wheel lacks {name}" for name in wanted if name not in names]
    licences = [name for name in names if name.startswith(f"{info}/licenses/")]
    for licence in ("/LICENSE", "/uPlot.LICENSE"):
        if not any(name.endswith(licence) for name in licences):
            found += [f"the wheel lacks the licence {licence[1:]}"]
    roots = {name.partition("/")[0] for name in names} - {*PACKAGES, info}
    return found + [f"the wheel has {root}" for root in sorted(roots)] + _strays(names, "wheel")


def _sdist(path: Path) -> list[str]:
    with tarfile.open(path) as sdist:
        names = ["/".join(PurePosixPath(name).parts[1:]) for name in sdist.getnames()]
    roots = {name.partition("/")[0] for name in names}
    lacking = [f"the sdist lacks {name}" for name in IN_SDIST if name not in roots]
    return lacking + _strays(names, "sdist")


def _strays(names: list[str], where: str) -> list[str]:
    stray = [
        name
        for name in names
        if not {*NOWHERE}.isdisjoint(PurePosixPath(name).parts)
        or name.partition("/")[0] in NOT_AT_TOP
    ]
    return [f"the {where} has {name}" for name in stray]


def _versions(version: str, tag: str | None) -> list[str]:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    cited = re.findall(r"^version: \W*([\w.]+)", citation, re.MULTILINE)[0]
    found = []
    if cited != version:
        found.append(f"CITATION.cff says {cited}, the wheel {version}")
    if tag is None:
        return found
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, the version {version}")
    if f"## [{version}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        found.append(f"CHANGELOG.md has no section [{version}]")
    return found


if __name__ == "__main__":
    amiss = problems(sys.argv[1] if len(sys.argv) > 1 else None)
    print("\n".join(amiss) or "wheel and sdist have what they must, and nothing else")
    sys.exit(bool(amiss))
