"""Reads a page back: that it is well-formed, its sections as text, its tables."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input"}
IMPLIED = {
    "td": {"td", "th"},
    "th": {"td", "th"},
    "tr": {"td", "th", "tr"},
    "tbody": {"td", "th", "tr", "tbody", "thead"},
    "/tbody": {"td", "th", "tr"},
    "/thead": {"td", "th", "tr"},
    "/table": {"td", "th", "tr", "tbody", "thead"},
}
"""What HTML takes for closed where one of these stands."""


@dataclass
class Table:
    caption: str = ""
    rows: list[list[str]] = field(default_factory=list)
    unscoped_headers: int = 0


class PageParser(HTMLParser):
    """Collects what tests look at; raises where tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.sections: dict[str, str] = {}
        self.tables: list[Table] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self._section = ""
        self._caption = False
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self._close_implied(tag)
        self.tags.add(tag)
        found = dict(attrs)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if "id" in found:
            self.ids.append(found["id"])
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self._section = found["id"]
            self.sections[self._section] = ""
        elif tag == "table":
            self.tables.append(Table())
        elif tag == "tr":
            self.tables[-1].rows.append([])
        elif tag in {"td", "th"}:
            self.tables[-1].rows[-1].append("")
            self.tables[-1].unscoped_headers += tag == "th" and "scope" not in found

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def _close_implied(self, tag):
        while self.open and self.open[-1] in IMPLIED.get(tag, ()):
            if self.open.pop() in {"td", "th"}:
                row = self.tables[-1].rows[-1]
                row[-1] = row[-1].rstrip("\n")

    def handle_endtag(self, tag):
        self._close_implied(f"/{tag}")
        assert self.open, f"closed, but not open: {tag}"
        assert self.open[-1] == tag, f"closed {tag} inside {self.open[-1]}"
        self.open.pop()
        if tag == "section":
            self._section = ""

    def handle_data(self, data):
        if self._section:
            self.sections[self._section] += data
        if "caption" in self.open:
            self.tables[-1].caption += data
        elif ("td" in self.open or "th" in self.open) and self.tables:
            self.tables[-1].rows[-1][-1] += data

    def text(self, section: str) -> str:
        """The text of a section with single spaces."""
        return " ".join(self.sections[section].split())

    def table(self, caption: str) -> Table:
        """The first table with these words in its caption."""
        for table in self.tables:
            if caption in " ".join(table.caption.split()):
                return table
        raise AssertionError(f"no table says {caption!r}")
