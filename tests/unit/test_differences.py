"""The list of differences on the migration page: what it shows of the file, and when it is out of date."""

from __future__ import annotations

from pathlib import Path

import pytest

import differences

FILE = """
[[difference]]
reason = "Our own: more of something."
paths = ["Sandbox.exec(env)", "exceptions/BatchError", "BatchError", "$ cwsandbox top"]

[[difference]]
reason = "Shown in another way."
paths = ["Process:repr", "= Secret(store='s')"]

[[behaviour]]
what = "A thing."
published = "one."
here = "two."
test = "tests/test_it.py::test_it"
"""
LIST = """\
### Beside the published names

- More of something: `Sandbox.exec(env=…)`, `BatchError`, `cwsandbox top`

### Names that look different

- Shown in another way: `repr(Process)`, `Secret(store='s')`

### What behaves differently

- **A thing.** Published: one. Here: two.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("docs", "tests/interop"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / differences.SOURCE).write_text(FILE)
    (tmp_path / "tests/test_it.py").write_text("def test_it() -> None: ...\n")
    page = f"# Page\n\n{differences.BEGIN}\n{LIST}\n{differences.END}\nEnd.\n"
    (tmp_path / differences.PAGE).write_text(page)
    return tmp_path


def test_what_the_page_says(project: Path) -> None:
    assert list(differences.faults(project)) == []


def test_a_change_of_the_file_is_seen(project: Path) -> None:
    (project / differences.SOURCE).write_text(FILE.replace("two.", "three."))
    (told,) = differences.faults(project)
    assert told.startswith("docs/migration.md: does not say what tests/interop/differences.toml")


def test_a_change_of_the_page_is_seen(project: Path) -> None:
    page = project / differences.PAGE
    page.write_text(page.read_text().replace("`cwsandbox top`", "`cwsandbox down`"))
    assert len(list(differences.faults(project))) == 1
    page.write_text("# Page\n")
    with pytest.raises(ValueError, match="needs the lines"):
        list(differences.faults(project))


@pytest.mark.parametrize("test", ["tests/none.py::test_it", "tests/test_it.py::test_other"])
def test_a_test_that_is_not_there_is_seen(project: Path, test: str) -> None:
    (project / differences.SOURCE).write_text(FILE.replace("tests/test_it.py::test_it", test))
    (told,) = differences.faults(project)
    assert told == f"tests/interop/differences.toml: there is no test {test}"


def test_lines_keep_to_the_width_and_code_whole() -> None:
    text = differences.wrapped("- " + " ".join(f"`some code number {n}`," for n in range(30)))
    lines = text.splitlines()
    assert len(lines) > 5
    assert all(len(line) <= 120 and line.count("`") % 2 == 0 for line in lines)
