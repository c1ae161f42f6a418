"""Lay the site's pages and its configuration into a folder, for Zensical to build: `python -m docs_site FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from docs_site.laying import lay


def main() -> None:
    """Lay the pages of the repository that this file stands in into the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m docs_site FOLDER")
    lay(Path(__file__).resolve().parents[2], Path(sys.argv[1]))


if __name__ == "__main__":
    main()
