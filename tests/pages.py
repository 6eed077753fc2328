"""Reading the HTML pages that quantkit writes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "link", "img", "input"}


class Page(HTMLParser):
    """Checks nesting and collects what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._attributes(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._attributes(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def _attributes(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                self.references.append(value or "")


def read_page(html: str) -> Page:
    """Parse a page whose elements are all closed, in order."""
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def assert_self_contained(html: str) -> None:
    """The page asks for nothing outside it, and runs nothing."""
    page = read_page(html)
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert page.references
    assert all(reference.startswith("#") for reference in page.references)
    outside = html.replace("http://www.w3.org/", "")
    assert not re.search(r"https?://|@import|url\((?!#)", outside)


def assert_links_lead_somewhere(html: str) -> None:
    """Every id occurs once, and whatever is referred to is there."""
    page = read_page(html)
    assert len(page.ids) == len(set(page.ids))
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(page.ids)
