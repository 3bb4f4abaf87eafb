"""Tracing: what crosses the boundary between a server and an application, recorded.

Nothing in here knows a framework. It sees what a server and a client send each other, and
the calls that PEP 3333 and ASGI 3.0 let a server and an application make; so it records any
application of the two protocols behind any server.

In the server's process:

- `wsgi`, `asgi`: the recorders, one around a callable of each protocol
- `recorder`, `proxy`: what they have in common, and how they are not noticed
- `values`: how what was seen is written down: bounded, and without secrets
- `order`, `recorded`, `sending`: what is to be recorded, the application that a server is given
  for it, and how events leave the process
- `layers`: who stands between the socket and the handler, from the call stack

And around it:

- `servers`, `recording`: a server that is started to be recorded, and all that was seen of it
- `tap`: the relay in front of a server, which sees the bytes
- `home`: where the recorders' events arrive
- `asked`, `client`: the request that is recorded

From there to the picture:

- `anatomy`: which bytes of a connection mean what
- `joining`: bytes and calls, put together into exchanges
- `source_lines`: the text of the lines that ran
- `sent`, `provenance`: which bytes of the wire each value came from
- `format`: the trace, lines of JSON, and what each of them means
- `steps`, `terminal`: what a trace tells, step by step, and the picture of it in a terminal;
  the page that shows one is microweb.explorer
"""
