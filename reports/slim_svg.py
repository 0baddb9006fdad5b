"""Matplotlib's SVG in fewer letters: the same picture, to a tenth of a point.

Paths become relative ones, points of a series become markers of its line, and what draws nothing or
says what the page's style says goes.
"""

import re
from itertools import pairwise

_INVISIBLE = re.compile(r'<path d="M[^"L]*" style="[^"]*"/>')
_NOTHING = re.compile(r"stroke-linecap: square|stroke-dashoffset: 0")
_DEFINITION = re.compile(r'<defs><path id="([^"]+)" d="([^"]*)"(?: style="([^"]*)")?/></defs>')
_POINTS = re.compile(
    r'(?:<path d="([^"]*)" style="([^"]*)"/>)?'
    r'(<use href="#([^"]+)" x="[^"]+" y="[^"]+" style="([^"]*)"/>'
    r'(?:<use href="#\4" x="[^"]+" y="[^"]+" style="\5"/>)*)'
)
_PLACE = re.compile(r' x="([^"]+)" y="([^"]+)"')
_TEXTS = re.compile(r'(<text style="([^"]*)"[^<]*</text>)(?:<text style="\2"[^<]*</text>)+')
_STYLE = re.compile(r'style="([^"]*)"')
_PATH = re.compile(r' d="([^"]*)"')
_COMMAND = re.compile(r"([MLCz])([^MLCz]*)")


def slim(svg: str) -> str:
    """Write an SVG of paths, markers and texts shorter."""
    svg = _markers(_INVISIBLE.sub("", svg))
    svg = _TEXTS.sub(_shared_style, svg)
    svg = _STYLE.sub(lambda found: f'style="{_style(found.group(1))}"', svg)
    return _PATH.sub(lambda found: f' d="{path(found.group(1))}"', svg)


def path(data: str) -> str:
    """Rewrite path data of absolute M, L, C and z, in tenths at most, with relative commands."""
    written: list[str] = []
    here = (0, 0)
    last = ""
    for command, text in _COMMAND.findall(data):
        numbers = [round(10 * float(number)) for number in text.split()]
        places = list(zip(numbers[::2], numbers[1::2], strict=True))
        steps = [value - here[axis] for place in places for axis, value in enumerate(place)]
        if command == "M":
            name, values = "M", numbers
        elif command == "L" and 0 in steps:
            name, values = ("v", steps[1:]) if steps[0] == 0 else ("h", steps[:1])
        else:
            name, values = command.lower(), steps
        written.append(("" if name == last else name) + _joined(values, after_number=name == last))
        last = name
        here = places[-1] if places else here
    return "".join(written)


def _joined(tenths: list[int], *, after_number: bool) -> str:
    """Numbers one after another; a minus sign parts them as well as a space does."""
    texts = [_number(value) for value in tenths]
    first = " " if after_number and texts and not texts[0].startswith("-") else ""
    rest = (right if right.startswith("-") else f" {right}" for _, right in pairwise(texts))
    return first + "".join([*texts[:1], *rest])


def _number(tenths: int) -> str:
    whole, rest = divmod(abs(tenths), 10)
    sign = "-" if tenths < 0 else ""
    return f"{sign}{whole or ''}.{rest}" if rest else f"{sign}{whole}"


def _markers(svg: str) -> str:
    """Draw points as markers, by the line that runs through them or by one that is not drawn."""
    shapes = {name: (data, look) for name, data, look in _DEFINITION.findall(svg)}
    known: dict[tuple[str, str], str] = {}

    def drawn(found: re.Match[str]) -> str:
        line, look, uses, name, own = found.groups()
        definition = ""
        if (name, own) not in known:
            known[name, own] = f"{name}-{len(known)}"
            data, shape = shapes[name]
            definition = (
                f'<marker id="{known[name, own]}" markerUnits="userSpaceOnUse">'
                f'<path d="{data}" style="{own}; {shape}"/></marker>'
            )
        marker = f"marker: url(#{known[name, own]})"
        places = " L ".join(map(" ".join, _PLACE.findall(uses)))
        if line is not None and line.strip() == f"M {places}":
            return f'{definition}<path d="{line}" style="{look}; {marker}"/>'
        before = "" if line is None else f'<path d="{line}" style="{look}"/>'
        return f'{before}{definition}<path d="M {places}" style="fill: none; {marker}"/>'

    return _POINTS.sub(drawn, _DEFINITION.sub("", svg))


def _shared_style(found: re.Match[str]) -> str:
    """Say the style of equal texts once, around them."""
    look = f' style="{found.group(2)}"'
    return f"<g{look}>{found.group().replace(look, '')}</g>"


def _style(text: str) -> str:
    """A style without what the page's own says, and without spaces."""
    parts = dict.fromkeys(part.strip() for part in text.split(";"))
    return ";".join(
        part.replace(": ", ":") for part in parts if part and not _NOTHING.fullmatch(part)
    )
