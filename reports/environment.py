"""The templates of pages, and the head that all pages share."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import words

FOLDER = Path(__file__).resolve().parent


@lru_cache(maxsize=1)
def plain_environment() -> Environment:
    """Templates that escape what they are given, with the filters of every page."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"label": words.label, "counted": words.count, "listed": words.listed}
    return environment


def write_page(template: str, marker: str, **values: Any) -> str:  # noqa: ANN401
    """Make a page of a template, with the stylesheet of all pages."""
    return (
        plain_environment()
        .get_template(template)
        .render(
            marker=Markup(marker),  # noqa: S704
            stylesheet=Markup((FOLDER / "style.css").read_text("utf-8")),  # noqa: S704
            **values,
        )
    )
