"""What the sources of problems put before every program: imports, mostly, and what a statement defines.

A prelude runs in the sandbox, in the program's namespace, before it (`Stdin.prelude`, `Call.prelude`). An import of
what is not installed there is passed over: it is for the program to miss it.
"""

from __future__ import annotations

import ast
from typing import Final

from mars2_env.problems.asserts import NotReadableError, parsed

# fmt: off
_LIVECODEBENCH_NAMES: Final = (
    "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools",
    "functools", "operator", "io", "sys", "json",
)
# fmt: on


def of_source(source: str, without: str = "") -> str:
    """Return a source as a prelude: its top-level statements, but for functions named `without`.

    Args:
        source: Python, such as the prompt of a problem; what is not Python makes no prelude.
        without: The function that the program is to define.
    """
    try:
        body = parsed(source).body
    except NotReadableError:
        return ""
    kept = [
        node
        for node in body
        if not (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == without)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    ]
    return "".join(_lenient(node) for node in kept)


def _lenient(node: ast.stmt) -> str:
    text = ast.unparse(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return f"try:\n    {text}\nexcept ImportError:\n    pass\n"
    return text + "\n"


LIVECODEBENCH: Final = "".join(
    (
        *(f"from {name} import *\n" for name in (*_LIVECODEBENCH_NAMES, "builtins", "typing")),
        *(f"import {name}\n" for name in _LIVECODEBENCH_NAMES),
        "sys.setrecursionlimit(50_000)\n",
    )
)
"""The imports and the recursion limit of LiveCodeBench's harness."""

APPS: Final = of_source(
    """
import sys, time, itertools, collections, math, fractions, random, heapq
from itertools import accumulate, product, permutations, combinations
from collections import Counter, OrderedDict, deque, defaultdict, ChainMap
from functools import lru_cache
from math import sqrt, sin, cos, tan, ceil, fabs, floor, gcd, exp, log, log2
from typing import List, Tuple
from heapq import *
"""
)
"""The imports of the harnesses of APPS and TACO, but for numpy, which a program that needs it has to import itself."""
