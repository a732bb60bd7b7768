"""What patterns leave out: as git does with the lines of a .gitignore."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cwsandbox._archive.exclude import excludes

PATHS = [
    "a",
    "b/",
    "b/a",
    "b/c/",
    "b/c/a",
    "b/c/a.pyc",
    "b/[x]",
    "d.e",
    "d-e",
    "dxe",
    ".git/",
    ".git/config",
    "sub/.git/",
    "sub/.git/config",
    "x/",
    "x/y/",
    "x/y/z/",
    "x/y/z/w",
    "xy/",
    "xy/z",
    "n\nm",
    "!n",
    "#n",
]
PATTERNS = [
    *("a", "/a", "b/a", "/b/a", "c/a", "b/", "a/", "/c/", "*.pyc", "*", "/*", "b/*", "?", "d?e"),
    *("d.e", "d[.-]e", "d[!.]e", "d[^.]e", "[a-c]", "[!a-c]", "[]]", "[[]x]", ".git", ".git/"),
    *(
        "**/a",
        "**/c/a",
        r"\!n",
        r"\a",
        r"b/\[x]",
        "b/**/a",
        "x/**/w",
        "**",
        "x/**/z/",
        "x/*/z",
        "x**",
        "x/y",
        "y",
    ),
    *("b/c/", "n?m", "#n", "*/a", "**/.git/config"),
]


def left_out(paths: list[str], patterns: list[str]) -> set[str]:
    """By ours: what is below a directory that is left out is left out, too."""
    excluded = excludes(patterns)
    assert excluded is not None

    def is_out(path: str) -> bool:
        parts = path.rstrip("/").split("/")
        places = ["/".join(parts[: at + 1]) for at in range(len(parts))]
        return any(
            excluded(place.encode(), place != places[-1] or path.endswith("/")) for place in places
        )

    return {path for path in paths if is_out(path)}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("repository")
    (top / ".git").mkdir()
    return top


@pytest.mark.parametrize("pattern", PATTERNS)
def test_as_git_does(pattern: str, tmp_path: Path) -> None:
    names = [path.replace(".git", ".got") for path in PATHS]
    wanted = pattern.replace(".git", ".got")
    for name in names:
        place = tmp_path / name
        place.mkdir(parents=True, exist_ok=True) if name.endswith("/") else place.touch()
    (tmp_path / ".gitignore").write_text(f"\\{wanted}\n" if wanted[0] in "#!" else f"{wanted}\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    asked = ["git", "-C", tmp_path, "check-ignore", "-z", "--no-index", "--stdin"]
    answer = subprocess.run(asked, input="\0".join(names), capture_output=True, text=True)
    assert answer.returncode in (0, 1), answer.stderr

    assert left_out(names, [wanted]) == set(filter(None, answer.stdout.split("\0")))


def test_several_patterns() -> None:
    assert left_out(PATHS, ["a", "*.pyc"]) == {"a", "b/a", "b/c/a", "b/c/a.pyc"}


def test_all_that_is_inside_is_not_the_directory_itself() -> None:
    assert left_out(PATHS, ["x/**"]) == {"x/y/", "x/y/z/", "x/y/z/w"}


def test_one_character_is_one_character() -> None:
    excluded = excludes(["?"])
    assert excluded is not None
    assert excluded("ü".encode(), False)
    assert excluded(b"\xff", False)
    assert not excluded(b"\xff\xfe", False)


def test_a_function_is_asked() -> None:
    asked: list[str] = []
    excluded = excludes(lambda path: asked.append(path) or path == "a/b/")
    assert excluded is not None
    assert [excluded(b"a/b", True), excluded(b"a/b", False), excluded(b"\xff", False)] == [
        *(True, False, False)
    ]
    assert asked == ["a/b/", "a/b", "\udcff"]


@pytest.mark.parametrize("none", [None, [], ()])
def test_nothing_to_leave_out(none: object) -> None:
    assert excludes(none) is None


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ("*.pyc", TypeError, r"a sequence of patterns or a function, got '\*.pyc'"),
        (b"*.pyc", TypeError, "a sequence of patterns"),
        (3, TypeError, "a sequence of patterns or a function, got 3"),
        ([3], TypeError, "only strings, got 3"),
        (["!a"], ValueError, "'!a'"),
        ([""], ValueError, "''"),
        (["/"], ValueError, "'/'"),
        (["a//b"], ValueError, "'a//b' has an empty part"),
        (["../a"], ValueError, "'../a'"),
        (["./a"], ValueError, "'./a'"),
        (["[a"], ValueError, r"'\[a'.*has no ']'"),
        (["a\\"], ValueError, "nothing follows the backslash"),
        (["[[:alpha:]]"], ValueError, "single characters and ranges"),
        ([r"[\]]"], ValueError, "single characters and ranges"),
        (["[z-a]"], ValueError, r"'\[z-a]'"),
    ],
)
def test_what_is_no_pattern(wrong: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        excludes(wrong)
