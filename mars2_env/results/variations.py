"""Further inputs for a problem, varied from its public ones: what programs do on them tells right from wrong apart.

Nobody knows the right outputs, and some inputs may break what the statement promises: programs are only compared with
each other on them. Values keep their types and, of numbers, the lower bound 0 or 1 that all public inputs keep. In a
text, a number that counts something further down (the tokens of a line, the characters of one, or the lines that are
left) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Final

from mars2_env.base import keys
from mars2_env.judge.compare import digest
from mars2_env.types import PublicView

INPUTS: Final = 16
"""How many further inputs are made unless told otherwise."""

_TRIES: Final = 40  # for each input: some variations come out equal to an earlier input


def varied_inputs(problem: PublicView, count: int = INPUTS, seed: int = 0) -> list[Any]:
    """Return up to `count` inputs that differ from the public ones and from each other.

    Args:
        problem: what may be seen of the problem; its public inputs are the models. None without public tests.
        count: how many inputs at most; fewer where there are not so many variations.
        seed: with the problem's id, the source of the variations; a longer list begins like a shorter one.
    """
    models = [test.input for test in problem.public]
    if not models:
        return []
    random = Random(keys.key("vary", seed, problem.id))
    vary = _Variation(random, models)
    seen = {digest(model) for model in models}
    found: list[Any] = []
    for number in range(count * _TRIES):
        if len(found) == count:
            break
        varied = models[number % len(models)]
        for _ in range(random.choice((1, 1, 2, 3))):
            varied = vary.text(varied) if isinstance(varied, str) else vary.arguments(varied)
        mark = digest(varied)
        if mark not in seen:
            seen.add(mark)
            found.append(varied)
    return found


class _Variation:
    """Varies values; numbers and words of all models may turn up in each other's places."""

    def __init__(self, random: Random, models: list[Any]) -> None:
        self.random = random
        self.numbers = [value for model in models for value in _numbers(model)] or [1]
        smallest = min(self.numbers)
        self.least = 1 if smallest >= 1 else 0 if smallest >= 0 else None
        self.letters = sorted({letter for model in models for text in _texts(model) for letter in text}) or ["a"]

    def arguments(self, values: list[Any]) -> list[Any]:
        """Return arguments of which one is varied; how many there are stays."""
        if not values:
            return values
        place = self.random.randrange(len(values))
        return [self.value(value) if place == here else value for here, value in enumerate(values)]

    def value(self, value: Any) -> Any:
        """Return a value of the same type."""
        match value:
            case bool():
                return not value
            case int():
                return self.whole(value)
            case float():
                whole = value.is_integer() and abs(value) < 2**53
                return float(self.whole(int(value))) if whole else value * self.random.choice((-1, 0.5, 2))
            case str():
                return self.word(value)
            case list():
                return self.sequence(value)
            case tuple():
                return tuple(self.arguments(list(value)))
            case dict() if value:
                key = self.random.choice(list(value))
                return {**value, key: self.value(value[key])}
            case set() | frozenset():
                return type(value)(self.sequence(sorted(value, key=digest)))
            case _:
                return value

    def whole(self, value: int) -> int:
        """Return another number: a near one, half, double, one of a public input, or the least there is."""
        kind = self.random.randrange(6)
        varied = (
            value + 1,
            value - 1,
            value // 2,
            value * 2 + self.random.randrange(2),
            self.random.choice(self.numbers),
            self.least if self.least is not None else -value,
        )[kind]
        return varied if self.least is None else max(varied, self.least)

    def word(self, text: str) -> str:
        """Return a text with one letter dropped, doubled, replaced or swapped, or turned round."""
        if not text:
            return self.random.choice(self.letters)
        place = self.random.randrange(len(text))
        head, letter, tail = text[:place], text[place], text[place + 1 :]
        return self.random.choice(
            (
                head + tail,
                head + letter + letter + tail,
                head + self.random.choice(self.letters) + tail,
                head + tail[:1] + letter + tail[1:],
                text[::-1],
            )
        )

    def sequence(self, values: list[Any]) -> list[Any]:
        """Return a list with one element dropped, doubled, varied or swapped, sorted or turned round."""
        if not values:
            return values
        place = self.random.randrange(len(values))
        match self.random.randrange(6):
            case 0:
                return values[:place] + values[place + 1 :]
            case 1:
                return values[: place + 1] + values[place:]
            case 2:
                return values[::-1]
            case 3:
                return self.random.sample(values, len(values))
            case _:
                return [*values[:place], self.value(values[place]), *values[place + 1 :]]

    def text(self, text: str) -> str:
        """Return an input text with one token varied, or the tokens of one line in another order."""
        lines = text.split("\n")
        rows = [line.split(" ") for line in lines]
        places = [
            (row, column)
            for row, tokens in enumerate(rows)
            for column, token in enumerate(tokens)
            if token and not _counts_something(lines, row, token)
        ]
        if not places:
            return text
        row, column = self.random.choice(places)
        tokens = rows[row]
        if len(tokens) > 1 and all(map(_is_whole, tokens)) and self.random.random() < 0.25:
            rows[row] = self.random.sample(tokens, len(tokens))
        elif _is_whole(tokens[column]):
            tokens[column] = str(self.whole(int(tokens[column])))
        else:  # what has a length elsewhere keeps it
            letters = list(tokens[column])
            letters[self.random.randrange(len(letters))] = self.random.choice(self.letters)
            tokens[column] = "".join(letters)
        return "\n".join(" ".join(tokens) for tokens in rows)


def _is_whole(token: str) -> bool:
    return token.removeprefix("-").isdecimal() and token.isascii() and len(token) < 40


def _counts_something(lines: list[str], row: int, token: str) -> bool:
    """Whether a token could be the number of something further down: lines, or tokens or characters of a line."""
    if not _is_whole(token):
        return False
    below = lines[row + 1 :]
    filled = [line for line in below if line.strip()]
    return bool(filled) and int(token) in {
        len(filled),
        *(len(line.split()) for line in filled),
        *(len(line.strip()) for line in filled if not line.strip().replace(" ", "").isdecimal()),
    }


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, str):
        yield from (int(token) for token in value.split() if _is_whole(token))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, dict):
        for item in value.items():
            yield from _numbers(item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (token for token in value.split() if not _is_whole(token))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.items():
            yield from _texts(item)
