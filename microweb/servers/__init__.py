"""The other side of the boundary: two servers that know nothing of any framework.

Both listen on a socket, read HTTP/1.1 and call an application. One calls it as PEP 3333 says,
`app(environ, start_response)`, the other as ASGI 3.0 says, `await app(scope, receive, send)`.
They are small to be read, and held against real servers by the tests; for production there
are gunicorn and uvicorn.

Read them in this order: sockets, the bottom of it all; heads and http11, what the wire says and
what is refused of it; then, side by side, the WSGI half and the ASGI half:

    wsgi.py        asgi.py           listen, accept, wait for a head, hand it over, stop
    connection.py  stream.py         one client's socket: for a thread, and for an event loop
    environ.py     scope.py          a request as the protocol spells it
    wsgi_call.py   asgi_call.py      one call of the application, and what comes of it
    threads.py     lifespan.py       what only one of them has to do
    waiting.py     websocket.py

What is left is common to both: settings, listening, patience with slow clients, and the log.
"""
