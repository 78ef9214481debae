"""An interruption that a command has dealt with: its message says how to go on."""

from __future__ import annotations


class Stopped(Exception):
    """The user stopped the work; the command line prints the message as one line and exits with 130."""
