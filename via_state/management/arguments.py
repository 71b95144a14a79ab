"""Arguments that several commands have."""

from __future__ import annotations

from argparse import ArgumentParser


def add_key_argument(parser: ArgumentParser) -> None:
    """``--key``, as often as wanted."""
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="a key (items, room.7) or a family's template (room.{room}); may be given several times; all logs without it",
    )
