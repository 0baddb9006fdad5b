"""What all pages share: templates that escape what they are given, and one stylesheet."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import words

FOLDER = Path(__file__).resolve().parent / "templates"


def new_environment() -> Environment:
    """Make an environment for the templates of this folder."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "commit": words.commit,
        "label": words.label,
        "counted": words.count,
        "listed": words.listed,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
    }
    return environment


def stylesheet() -> Markup:
    """Return the style of all pages."""
    return Markup((FOLDER / "style.css").read_text("utf-8"))  # noqa: S704


def write_page(template: str, marker: str, **values: Any) -> str:  # noqa: ANN401
    """Make a page without a script.

    Args:
        template: its name.
        marker: the line by which the page is known to be ours.
        values: what the template names.
    """
    page = _plain_environment().get_template(template)
    return page.render(marker=Markup(marker), stylesheet=stylesheet(), **values)  # noqa: S704


@lru_cache(maxsize=1)
def _plain_environment() -> Environment:
    return new_environment()
