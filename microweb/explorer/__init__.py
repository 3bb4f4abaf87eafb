"""The explorer: one page on which a request is seen to cross the boundary, through both protocols.

- `page`: the page, served or written to a file of its own, with a recording inside or without
- `live`: the servers that are asked, each with its recorded application
- `site`: what the page is served by: a microweb App
- `scenarios`: requests that are worth seeing
- `assets`: the page itself, in HTML, CSS and modules of JavaScript
"""
