"""The same small site, once in each of the frameworks that the servers must serve unchanged.

Each is written as its framework's users write it, and none knows of microweb. What they have
in common, and test_foreign.py asks for:

    GET  /text  /json                 plain answers; HEAD where GET is
    GET  /people/{name}               a path with a parameter
    GET  /search?q=&tag=&tag=         a query
    POST /login                       a form
    POST /photos                      a form with a file
    POST /echo                        a body as it is, sent back
    GET  /stream                      pieces
    GET  /files/report.txt            a file of the folder that FOREIGN_FOLDER names
    GET  /cookies  /basket            two cookies are set; one is read
    GET  /old                         a redirect to /text
    GET  /boom  /break?pieces=        an error at once, or after so many pieces
    GET  /endless?closed=             pieces without an end; the file named is written at theirs

and those that speak ASGI:

    GET  /state                       what the lifespan left there
    GET  /background?gate=&done=      an answer; then `done` is written, as soon as `gate` is there
    WS   /talk  /talk/bytes           an echo of text, until "bye", which is answered with a close;
                                      an echo of bytes
"""
