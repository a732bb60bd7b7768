"""The checker of the built site, on small ones: it sees what leads nowhere, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_site.py"
OTHER = '<h2 id="part">Part</h2><a name="old"></a>'


def check(root: Path, page: str) -> tuple[int, str]:
    (root / "below").mkdir()
    (root / "below" / "other.html").write_text(OTHER)
    (root / "style.css").write_text("")
    (root / "page.html").write_text(page)
    done = subprocess.run(
        [sys.executable, TOOL, root], capture_output=True, text=True, check=False, timeout=30
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "page",
    [
        '<a href="below/other.html">',
        '<a href="below/other.html#old"><a href="below/other.html#part">',
        '<link href="style.css?v=1"><img src="data:image/png;base64,AA==">',
        '<p id="here"><a href="#here"><a href="#">',
        '<a href="https://example.com/a?b#c"><a href="https://example.com">',
    ],
)
def test_good(tmp_path: Path, page: str) -> None:
    assert check(tmp_path, page) == (
        0,
        f"site: {page.count('href') + page.count('src')} links of 2 pages lead somewhere\n",
    )


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ('<a href="none.html">', "none.html"),
        ('<a href="below">', "below"),
        ('<a href="below/other.html#none">', "below/other.html#none"),
        ('<a href="#none">', "#none"),
        ('<img src="none.svg">', "none.svg"),
        ('<a href="http://example.com/">', "http://example.com/"),
        ('<a href="https://exa mple.com/">', "https://exa mple.com/"),
        ('<a href="//example.com/">', "//example.com/"),
        ('<a href="file:///etc/hosts">', "file:///etc/hosts"),
    ],
)
def test_bad(tmp_path: Path, page: str, link: str) -> None:
    assert check(tmp_path, page) == (1, f"page.html: there is no {link}\n")


def test_an_empty_site_is_none(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, TOOL, tmp_path], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "no pages" in done.stderr
