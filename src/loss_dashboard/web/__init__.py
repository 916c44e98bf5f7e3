"""The page: served live, or written as one file."""

from importlib.util import find_spec

PORT = 8265
"""Where it is served, unless another one is asked for."""


def missing() -> list[str]:
    """What the server needs and does not find."""
    return [name for name in ("starlette", "uvicorn", "orjson") if find_spec(name) is None]
