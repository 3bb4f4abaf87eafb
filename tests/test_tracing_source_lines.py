"""The text of the lines that a trace names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from microweb.tracing.format import Event
from microweb.tracing.source_lines import LONGEST, with_text

SOURCE = """\
@app.get("/")
@cached(
    60,
)
async def home(request):
    return await answer(request)

def long(): return "{long}"
"""


def told(file: Path, line: int) -> dict[str, Any]:
    source = {"module": "shop", "file": str(file), "line": line, "function": "home"}
    event = Event(1, "framework", "in", "handler.call", {}, source=source)
    (twin,) = with_text([event])
    assert event.source == source  # what is recorded stays as it is
    assert twin.source is not None
    return twin.source


def test_a_line_has_its_text_and_a_decorated_function_the_line_of_its_name(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text(SOURCE.replace("{long}", "x" * 1000))
    assert (told(file, 6)["line"], told(file, 6)["text"]) == (6, "return await answer(request)")
    assert (told(file, 1)["line"], told(file, 1)["text"]) == (5, "async def home(request):")
    assert len(told(file, 8)["text"]) == LONGEST


def test_a_line_that_is_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text("first = 1\n")
    assert told(file, 1)["text"] == "first = 1"
    file.write_text("second = 2, and longer\n")
    assert told(file, 1)["text"] == "second = 2, and longer"


def test_where_there_is_no_line_there_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    assert told(file, 3)["text"] is None
    file.write_text("one = 1\n")
    assert told(file, 3)["text"] is None
    assert told(Path("<string>"), 1)["text"] is None
    (unknown,) = with_text([Event(1, "wire", "in", "eof", {})])
    assert unknown.source is None


def test_a_decorator_without_its_function_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text("@app.get('/')\n" + "\n" * 40 + "def far(): ...\n")
    assert (told(file, 1)["line"], told(file, 1)["text"]) == (1, "@app.get('/')")
