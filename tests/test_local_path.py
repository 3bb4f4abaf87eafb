"""is_local_path: what may come from outside and still be redirected to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import is_local_path

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOCAL = ["/", "/guestbook", "/a?next=//evil.example", "/a#b", "/café", "/a/../b", "/?a=1\\", "/:@x"]
FOREIGN = [
    *[
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "///evil.example",
        "/\t/evil.example",
    ],
    *["\t//evil.example", "/\n/evil.example", "https://evil.example", "https:/evil.example"],
    *["javascript:alert(1)", " //evil.example", "evil.example", "", "?a", "#a", "a/b", "/a\x00"],
]


@pytest.mark.parametrize("target", LOCAL)
def test_a_path_is_local(target: str) -> None:
    assert is_local_path(target)


@pytest.mark.parametrize("target", [*FOREIGN, None])
def test_anything_else_is_not(target: str | None) -> None:
    assert not is_local_path(target)


@given(st.text(alphabet="/\\\t\r\n .:@?#abhtps%", max_size=12))
def test_what_is_local_begins_with_one_slash_and_has_no_control_characters(target: str) -> None:
    read = "".join(char for char in target if char not in "\t\r\n").replace("\\", "/").strip()
    if is_local_path(target):
        assert read.startswith("/")
        assert not read.startswith("//")
        assert target.isprintable()


def test_a_browser_stays_at_home_with_whatever_is_local(page: Page) -> None:
    """The browser itself says which host it would go to."""
    targets = [first + second + rest for first in "/\\" for second in "/\\\t a" for rest in FOREIGN]
    targets += [*LOCAL, *FOREIGN]
    hosts = page.evaluate(
        """targets => targets.map(target => {
            try { return new URL(target, "http://home.example/").host } catch { return "" }
        })""",
        targets,
    )
    local = [host for target, host in zip(targets, hosts, strict=True) if is_local_path(target)]
    assert len(local) > len(LOCAL)
    assert set(local) == {"home.example"}
    assert "evil.example" in hosts
