"""The program of the sandbox: `python -m inside`, with the pipe at its stdin and stdout."""

from .worker import main

main()
