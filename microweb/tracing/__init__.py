"""Tracing: what crosses the boundary between a server and an application, recorded.

Nothing in here knows a framework. It sees what a server and a client send each other, and
the calls that PEP 3333 and ASGI 3.0 let a server and an application make; so it records any
application of the two protocols behind any server. From the wire to the page:

- `format`: the trace, lines of JSON, and what each of them means
- `values`: how what was seen is written down: bounded, and without secrets
- `recorder`, `wsgi`, `asgi`: the recorders, one around a callable of each protocol
- `recorded`, `sending`: a recorder in a server's process, which sends home what it sees
- `tap`: the relay in front of a server, which sees the bytes
- `home`: where the recorders' events arrive
- `anatomy`: which bytes of a connection mean what
- `joining`: bytes and calls, put together into exchanges
- `provenance`: which bytes of the wire each value came from
- `servers`: the servers that can be recorded, and how they are started
"""
