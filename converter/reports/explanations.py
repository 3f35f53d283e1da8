"""What each caveat means and what to do about it: the sections of docs/caveats.md."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def _sections() -> dict[str, str]:
    """Return the sections as HTML, by topic."""
    from markdown_it import MarkdownIt

    # The package holds docs/caveats.md, by a link where it stands in its repository.
    text = (files("converter.reports") / "caveats.md").read_text(encoding="utf-8")
    render = MarkdownIt("commonmark", {"html": False}).enable("table")
    found = {}
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        topic, _, body = section.partition("\n")
        body = re.split(r"^## ", body, flags=re.MULTILINE)[0]
        # Links lead to other pages of the documentation, which are not here.
        body = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", body)
        found[topic.strip()] = render.render(body.strip())
    return found


def explanation_of(topic: str) -> str:
    """Return what a caveat's section says, as HTML; empty if there is none."""
    return _sections().get(topic, "")
