"""How a benchmark is run from the command line: an error of the library's own ends it with one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from mars2_env.errors import Mars2Error


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call `main` and exit with its status; with 2 and one sentence after an error, with 130 after Ctrl-C."""
    try:
        sys.exit(main())
    except Mars2Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        sys.exit(130)
