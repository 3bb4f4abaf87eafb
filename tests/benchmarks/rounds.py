"""How contenders are compared: checked first, then in turns, by medians, against one of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Contender(NamedTuple):
    """One side of a comparison.

    `check` raises AssertionError unless its answer is right; `measure` is one round, which
    returns what it cost. `at_most` is the goal: the cost as a share of the reference's.
    """

    name: str
    check: Callable[[], object]
    measure: Callable[[], float]
    at_most: float | None = None


def compare(title: str, unit: str, contenders: Sequence[Contender], rounds: int) -> bool:
    """Print a table of what each contender costs; whether all goals are met.

    The last contender is the reference. Turns are interleaved, each round in another order,
    so that whatever else the machine does meets all of them alike.
    """
    for contender in contenders:
        contender.check()
    costs: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        shift = number % len(contenders)
        for contender in [*contenders[shift:], *contenders[:shift]]:
            costs[contender.name].append(contender.measure())
    return _print_table(title, unit, contenders, costs)


def _print_table(
    title: str, unit: str, contenders: Sequence[Contender], costs: dict[str, list[float]]
) -> bool:
    reference = contenders[-1].name
    print(f"\n{title}")
    print(f"  {'':24}{'median':>10} {unit:6}{'least':>10} {unit:6}  x {reference}")
    met = True
    for contender in contenders:
        own = costs[contender.name]
        ratio = statistics.median(own) / statistics.median(costs[reference])
        line = f"  {contender.name:24}{statistics.median(own):10.1f} {unit:6}"
        line += f"{min(own):10.1f} {unit:6}  {ratio:.2f}"
        if contender.at_most is not None:
            met = met and ratio <= contender.at_most
            verdict = "met" if ratio <= contender.at_most else "missed"
            line += f"   goal: at most {contender.at_most:.2f}, {verdict}"
        print(line, flush=True)
    return met
