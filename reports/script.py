"""Scripts and data inside a page: the page says by digest which script may run, and no other does."""

import base64
import hashlib
import zlib
from pathlib import Path
from typing import Any

import msgspec
from markupsafe import Markup

FOLDER = Path(__file__).resolve().parent / "templates"


def script(name: str) -> tuple[Markup, str]:
    """Return a script of this folder, ready to stand between tags, and its digest for the policy."""
    text = f"\n{(FOLDER / name).read_text('utf-8')}"
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), digest  # noqa: S704


def data(value: Any) -> Markup:  # noqa: ANN401
    """Return JSON, compressed and in letters that cannot end the element that they stand in."""
    text = base64.b64encode(zlib.compress(msgspec.json.encode(value), level=9)).decode()
    return Markup(text)  # noqa: S704
