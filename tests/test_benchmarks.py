"""The benchmarks compare what is comparable: each contender gives the right answers."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .benchmarks import start
from .benchmarks.calls import Ask, Exchange, asgi_time, live, wsgi_answer, wsgi_time
from .benchmarks.chart import chart
from .benchmarks.overhead import CASES, CHART, CHARTED, end, fastest, measured
from .benchmarks.peers import PEERS, described, peer
from .benchmarks.rounds import Contender, compare

# Litestar would rather have its parameters spelled in a way that older ones do not know.
pytestmark = pytest.mark.filterwarnings("ignore:.*declared using deprecated")

# Those that are here: the tests need some of them anyway, and the benchmarks bring the others.
CONTENDERS = [(protocol, name) for protocol, names in PEERS.items() for name in names if peer(name)]
CROSSING = [
    ("wsgi", "microweb", "/async"),
    ("asgi", "microweb", "/plain"),
    ("asgi", "starlette", "/plain"),
    ("asgi", "litestar", "/plain"),
    *([("wsgi", "flask", "/async")] if find_spec("asgiref") else []),  # what flask[async] brings
]


def made(protocol: str, name: str, others: int, layers: int) -> Any:
    """A contender's site."""
    return getattr(peer(name), protocol)(others, layers)


def test_the_contenders_that_the_tests_need_anyway_are_here() -> None:
    assert {("wsgi", "falcon"), ("wsgi", "bottle"), ("wsgi", "flask")} <= set(CONTENDERS)
    assert {("asgi", "falcon"), ("asgi", "starlette"), ("asgi", "litestar")} <= set(CONTENDERS)


@pytest.mark.parametrize(("others", "layers"), [(0, 0), (3, 0), (0, 2)])
@pytest.mark.parametrize(("protocol", "name"), CONTENDERS)
def test_each_contender_answers_as_it_should(
    protocol: str, name: str, others: int, layers: int
) -> None:
    app = made(protocol, name, others, layers)
    if app is None:
        assert layers
        return
    asks = {case.ask: case.holds for case in CASES.values()}
    if protocol == "wsgi":
        for ask, holds in asks.items():
            assert holds(wsgi_answer(app, ask)), ask
            assert wsgi_time(app, ask, 2) > 0
        return

    async def ask_all() -> None:
        async with asyncio.timeout(20):
            await live(app)
            for ask, holds in asks.items():
                assert holds(await Exchange(ask).call(app)), ask
                assert await asgi_time(app, ask, 2) > 0
        await end()

    asyncio.run(ask_all())


@pytest.mark.parametrize(("protocol", "name", "path"), CROSSING)
def test_who_crosses_answers_as_it_should(protocol: str, name: str, path: str) -> None:
    app = made(protocol, name, 0, 0)
    if protocol == "wsgi":
        assert wsgi_answer(app, Ask("GET", path)) == (200, b"hello")
        return

    async def ask() -> None:
        async with asyncio.timeout(20):
            await live(app)
            assert await Exchange(Ask("GET", path)).call(app) == (200, b"hello")
        await end()

    asyncio.run(ask())


def test_a_wrong_answer_is_no_contender() -> None:
    wrong = CASES["text"]._replace(ask=Ask("GET", "/nowhere"))
    with pytest.raises(AssertionError, match="bare answers /nowhere with"):
        measured("wsgi", wrong, 0, 0)


def test_the_fastest_peer_is_no_bare_callable_and_not_ours() -> None:
    assert fastest({"bare": 1.0, "microweb": 2.0, "slow": 9.0, "quick": 3.0}) == "quick"


def test_a_goal_that_is_missed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    contenders = [
        Contender("good", lambda: None, lambda: 1.0, 0.5),
        Contender("bad", lambda: None, lambda: 3.0, 0.5),
        Contender("reference", lambda: None, lambda: 4.0),
    ]
    assert compare("a race", "us", contenders, 3) is False
    told = capsys.readouterr().out
    assert "0.25   goal: at most 0.50, met" in told
    assert "0.75   goal: at most 0.50, missed" in told


def test_a_first_answer_is_measured() -> None:
    for name in ("microweb, WSGI", "microweb, ASGI"):
        took, size = start.measured(name)
        assert took > 0
        assert size > 5


# --- the chart --------------------------------------------------------------------------------

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_the_chart_draws_each_contender_as_long_as_its_cost() -> None:
    costs = {"wsgi": {"bare": 1.0, "microweb": 2.0, "a<b": 8.0}, "asgi": {"microweb": 4.0}}
    root = ElementTree.fromstring(chart(costs, "Costs & all"))
    texts = [text.text for text in root.iter(f"{NAMESPACE}text")]
    assert texts[:3] == ["Costs & all", "WSGI", "no framework"]
    assert {"microweb", "a<b", "8.0", "4.0", "ASGI"} <= set(texts)
    widths = [float(bar.get("width", 0)) for bar in root.iter(f"{NAMESPACE}rect")][1:]
    assert widths[0] * 8 == pytest.approx(widths[2], rel=0.01)
    assert widths[1] * 4 == pytest.approx(widths[2], rel=0.01)


def test_the_chart_in_the_readme_is_there_and_shows_every_peer() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    assert f"tests/benchmarks/{CHART.name}" in readme
    texts = {text.text for text in ElementTree.parse(CHART).iter(f"{NAMESPACE}text")}
    names = {name for names in PEERS.values() for name in names} - {"bare"}
    assert names <= texts
    assert CHARTED in CASES


def test_a_peer_is_described_with_its_version() -> None:
    assert described("bare") == "bare"
    assert described("falcon").startswith("falcon ")
    assert json.loads(CASES["echo"].ask.body)["name"] == "Ada"
