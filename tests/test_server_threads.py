"""The threads of the WSGI server: few run at once, and whoever waits makes room."""

from __future__ import annotations

import logging
import threading

import pytest

from microweb.servers.threads import Threads

from .servers import PATIENCE


def test_no_more_jobs_than_the_limit_run_at_once() -> None:
    threads, go = Threads(3), threading.Event()
    lock, running, most = threading.Lock(), [0], [0]
    begun, done = threading.Semaphore(0), threading.Semaphore(0)

    def job() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        begun.release()
        go.wait(PATIENCE)
        with lock:
            running[0] -= 1
        done.release()

    for _ in range(30):
        threads.submit(job)
    for _ in range(3):
        assert begun.acquire(timeout=PATIENCE)
    assert not begun.acquire(timeout=0.05)
    go.set()
    for _ in range(30):
        assert done.acquire(timeout=PATIENCE)
    assert most == [3]


def test_whoever_stands_aside_makes_room_and_waits_for_room_to_return() -> None:
    threads = Threads(1)
    waits, answered, hold, over = (threading.Event() for _ in range(4))
    order: list[str] = []

    def slow() -> None:
        with threads.aside():
            waits.set()
            assert answered.wait(PATIENCE)
        order.append("slow")
        over.set()

    def quick() -> None:
        answered.set()
        assert hold.wait(PATIENCE)
        order.append("quick")

    threads.submit(slow)
    assert waits.wait(PATIENCE)
    threads.submit(quick)
    assert answered.wait(PATIENCE)  # it runs, though there is room for one only
    assert not over.wait(0.05)
    hold.set()
    assert over.wait(PATIENCE)
    assert order == ["quick", "slow"]


def test_any_number_may_stand_aside_and_all_of_them_return() -> None:
    threads, go = Threads(2), threading.Event()
    aside, done = threading.Semaphore(0), threading.Semaphore(0)

    def job() -> None:
        with threads.aside():
            aside.release()
            go.wait(PATIENCE)
        done.release()

    for _ in range(100):
        threads.submit(job)
    for _ in range(100):
        assert aside.acquire(timeout=PATIENCE)
    assert not threads.may_rest
    go.set()
    for _ in range(100):
        assert done.acquire(timeout=PATIENCE)


def test_threads_are_used_again_and_not_kept_beyond_the_limit() -> None:
    threads, done = Threads(4), threading.Semaphore(0)
    names: set[str] = set()

    def job() -> None:
        names.add(threading.current_thread().name)
        done.release()

    for _ in range(50):
        threads.submit(job)
        assert done.acquire(timeout=PATIENCE)
    assert len(names) <= 4


def test_a_job_that_fails_is_logged_and_its_thread_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    threads, done = Threads(1), threading.Event()

    def fail() -> None:
        raise LookupError("on purpose")

    with caplog.at_level(logging.ERROR):
        threads.submit(fail)
        threads.submit(done.set)
        assert done.wait(PATIENCE)
    assert "on purpose" in caplog.text


def test_an_error_while_standing_aside_comes_through_with_room_taken_again() -> None:
    threads, raised, done = Threads(1), threading.Event(), threading.Event()

    def job() -> None:
        try:
            with threads.aside():
                raise TimeoutError
        except TimeoutError:
            raised.set()

    threads.submit(job)
    threads.submit(done.set)
    assert raised.wait(PATIENCE)
    assert done.wait(PATIENCE)
