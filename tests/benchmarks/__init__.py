"""Benchmarks: what microweb costs beside others, each answer checked before it is timed.

    .venv/bin/python -m tests.benchmarks                  all of them, a quarter of an hour
    .venv/bin/python -m tests.benchmarks overhead         what a call costs, and the README's chart
    .venv/bin/python -m tests.benchmarks crossings        async code under WSGI, and the like
    .venv/bin/python -m tests.benchmarks endtoend         what is left of it behind a server
    .venv/bin/python -m tests.benchmarks start            the first answer, and memory
    .venv/bin/python -m tests.benchmarks streams          what a chunk of a stream costs
    .venv/bin/python -m tests.benchmarks bodies           256 MiB up and down
    .venv/bin/python -m tests.benchmarks memory           what 256 MiB do to a worker's memory

Costs are times (or bytes): less is better. Contenders take turns; medians are compared with
the last line of each table, the reference. The command fails where a goal is missed, on an
otherwise idle machine; no test does. See `rounds.py` for how it is measured, `sites/` for what.
"""
