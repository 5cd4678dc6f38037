"""`python -m codefusion COMMAND ...` is `codefusion COMMAND ...`."""

from codefusion import main

main.run()
