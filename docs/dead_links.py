"""Find broken links in the built pages, including those that Sphinx does not check: in the theme and in raw HTML."""

import functools
import pathlib
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


@functools.cache
def _page(path: pathlib.Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def dead_links(root: pathlib.Path) -> list[str]:
    """Return the broken links within the site, as "page: link"."""
    _page.cache_clear()
    return sorted(
        f"{path.relative_to(root)}: {link}"
        for path in root.rglob("*.html")
        if "_static" not in path.relative_to(root).parts
        for link in set(_page(path).links)
        if not _leads(path, link)
    )


def _leads(path: pathlib.Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = path.parent / unquote(parts.path) if parts.path else path
    if not target.is_file():
        return False
    return target.suffix != ".html" or unquote(parts.fragment) in _page(target).anchors
