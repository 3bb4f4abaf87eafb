"""`python -m microweb`: the same as the `microweb` command."""

from .cli import main

main(prog_name="microweb")
