"""What tokens cost at a provider, by a table that the user gives: nobody else knows what they pay."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from mars2_env.base.checks import real_number
from mars2_env.errors import ConfigError, unknown_name

MILLION = 10**6


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens of a model cost, in whatever currency.

    Attributes:
        prompt: of prompts.
        completion: of completions, thinking included.
        cached: of the part of prompts that the provider had in its cache; as `prompt` where this is left out.
    """

    prompt: float
    completion: float
    cached: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a server says an answer took, in tokens; None where it does not say.

    `cached` are among those of the prompt, `thinking` among those of the completion.
    """

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    thinking: int | None = None


Prices: TypeAlias = Mapping[str, Price | Mapping[str, float]] | str | PathLike[str]
"""Model -> its price, or a TOML file with a table for each model: `["MODEL"]`, `prompt = 0.25`, `completion = 2`."""


def read_prices(given: Prices) -> dict[str, Price]:
    """Return model -> price.

    Raises:
        ConfigError: a file cannot be read, or a price is none.
    """
    if isinstance(given, Mapping):
        return {model: _price(price, f"the price of {model!r:.100}") for model, price in given.items()}
    where = fspath(given)
    try:
        table = tomllib.loads(Path(where).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"prices={where!r}: not a TOML file that can be read: {error}.") from None
    return {model: _price(price, f"{where}: the price of {model!r:.100}") for model, price in table.items()}


def _price(given: Any, where: str) -> Price:
    if isinstance(given, Price):
        given = {one.name: getattr(given, one.name) for one in fields(given)}
    names = [one.name for one in fields(Price)]
    if not isinstance(given, Mapping) or not {"prompt", "completion"} <= given.keys():
        raise ConfigError(
            f"{where}={given!r:.100}: give prompt= and completion=, per million tokens, and cached= if you like. In "
            'TOML a name with dots stands in quotes: ["gpt-4.1-mini"].'
        )
    if unknown := given.keys() - set(names):
        raise ConfigError(f"{where}: {unknown_name('price', str(min(unknown)), names)}")
    for name, value in given.items():
        if value is not None or name != "cached":
            real_number(name, value, least=0, where=where)
    return Price(**given)


def cost(price: Price, usage: Usage) -> Fraction | None:
    """Return what an answer costs, exactly; None where the server does not say what it took."""
    if usage.prompt is None or usage.completion is None:
        return None
    cached = min(usage.cached or 0, usage.prompt)
    parts = (
        (usage.prompt - cached, price.prompt),
        (cached, price.prompt if price.cached is None else price.cached),
        (usage.completion, price.completion),
    )
    return sum((tokens * Fraction(str(each)) for tokens, each in parts), Fraction(0)) / MILLION
