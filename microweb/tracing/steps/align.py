"""Alignment: the steps of two exchanges on common rows, equal keys side by side."""

from __future__ import annotations

from collections.abc import Sequence

from .step import Step

Row = tuple[Step | None, Step | None]


def align(left: Sequence[Step], right: Sequence[Step]) -> list[Row]:
    """Rows of two steps; where one side has none that is equal, it stays empty.

    The longest common subsequence of the keys decides which steps meet.
    """
    common = _lengths([step.key for step in left], [step.key for step in right])
    rows: list[Row] = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right) and left[i].key == right[j].key:
            rows.append((left[i], right[j]))
            i, j = i + 1, j + 1
        elif j == len(right) or (i < len(left) and _is_left_next(common, left, right, i, j)):
            rows.append((left[i], None))
            i += 1
        else:
            rows.append((None, right[j]))
            j += 1
    return rows


def _is_left_next(
    common: list[list[int]], left: Sequence[Step], right: Sequence[Step], i: int, j: int
) -> bool:
    """Which of two unequal steps is passed over; if it is all the same, the earlier one."""
    if common[i + 1][j] != common[i][j + 1]:
        return common[i + 1][j] > common[i][j + 1]
    return left[i].time <= right[j].time


def _lengths(left: list[str], right: list[str]) -> list[list[int]]:
    """How many keys have the rest of the left, from i, and of the right, from j, in common."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            if left[i] == right[j]:
                table[i][j] = table[i + 1][j + 1] + 1
            else:
                table[i][j] = max(table[i + 1][j], table[i][j + 1])
    return table
