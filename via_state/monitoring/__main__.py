"""``python -m via_state.monitoring alerts > /etc/prometheus/via_state.rules.yml``"""

from __future__ import annotations

import argparse
import sys

from via_state.monitoring import FILES, content


def main() -> None:
    """Print a file."""
    parser = argparse.ArgumentParser(prog="python -m via_state.monitoring", description=__doc__)
    parser.add_argument("what", choices=FILES, help="rules for Prometheus, or a dashboard for Grafana")
    parser.add_argument(
        "--docs-url",
        default="",
        metavar="URL",
        help="the site of the documentation, for the addresses of runbooks",
    )
    given = parser.parse_args()
    sys.stdout.write(content(given.what, given.docs_url))


if __name__ == "__main__":
    main()
