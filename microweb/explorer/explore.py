"""What `microweb explore` does: start the servers, serve the page, and stop them all again."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress

from ..servers.asgi import ASGIServer
from ..servers.listening import listen, stop_signals
from ..servers.settings import Settings
from ..trace import Plan
from .live import live
from .scenarios import Scenario
from .site import site_of


async def explore(
    plans: Sequence[Plan],
    scenarios: Sequence[Scenario],
    settings: Settings,
    timeout: float,
    opens: bool,
) -> None:
    """Serve the page until SIGTERM or SIGINT, which cancel it unless the server stops by itself.

    Raises CannotServe where the address cannot be had, CannotRecord where a server does not
    start.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    is_ending = False

    def stop() -> None:
        nonlocal is_ending
        if not is_ending:  # the end takes a few seconds at most, and is not to be broken off
            is_ending = True
            loop.call_soon_threadsafe(task.cancel)

    # Also while the servers start and stop: none of them is to be left behind.
    with stop_signals(stop), listen(settings) as socket:
        host, port = socket.getsockname()[:2]
        for plan in plans:
            order = plan.order
            _say(f"{order.protocol.upper()}: {order.target} under {plan.server}")
        async with live(plans, timeout) as halves:
            site = site_of(halves, scenarios, settings.host)
            server = ASGIServer(site.asgi, settings, socket)
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            _say(f"microweb explorer running on {url}")
            _say("Ctrl+C stops it, and the servers.")
            if not ipaddress.ip_address(host).is_loopback:
                _say("Whoever can reach this address can send requests to the application.")
            if opens:  # in a thread: some browsers return only when they are closed
                loop.run_in_executor(None, _open, url)
            with stop_signals(server.stop):
                try:
                    await server.run()
                finally:
                    is_ending = True


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _open(url: str) -> None:
    """Show the page in the user's browser, where there is one."""
    with suppress(webbrowser.Error):
        webbrowser.open(url)
