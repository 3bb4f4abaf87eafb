"""Layers: who stands between the socket and the handler, told from the real call stack there.

- `watch`: in the server's process, what is called on the way to a handler
- `places`: the threads and tasks that a request goes through, and their stacks put together
- `passed`: the packages that are called on the way, and return before the handler is called
- `packages`: whose a line of code is
- `tower`: a stack as bands, one for each package
- `view`: the picture of it
"""
