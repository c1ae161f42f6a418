"""Parts by name: those of the library, those that a program registers, and those that installed packages offer.

Each kind of part (policies, problem sets, selectors, rewards, ...) has one `Parts`. A package offers a part by an entry
point in the group of its kind; a program registers one by the decorator of its kind, `mars2_env.register_policy` and
its like, for as long as the process lives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, TypeVar

from mars2_env.base.extras import OURS, how_to_install
from mars2_env.base.spec import typed_options
from mars2_env.errors import ConfigError, PartError, unknown_name

P = TypeVar("P")

CHECK: Final = "check_options"
"""The attribute of a part that checks what it is given, and builds nothing (`checked_by`)."""


def checked_by(check: Callable[..., object]) -> Callable[[P], P]:
    """Return a decorator of a part whose options tell more than its signature whether they make sense.

    Args:
        check: called with what a user wrote, by position and by name; it is quick, and raises a ConfigError.
    """

    def given(part: P) -> P:
        setattr(part, CHECK, check)
        return part

    return given


class Parts:
    """The parts of one kind.

    Args:
        kind: what messages call one of them, such as "policy".
        group: the entry-point group in which packages offer them, such as `mars2_env.policies`.
        own: those that come with the library, by name; a text "package.module:attribute" is imported when asked for.
        registered: where those are kept that a program registers; a dict of its own where nothing is said.
        in_specs: whether names stand in specs, and so have none of the characters that those use.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        own: Mapping[str, Any] | None = None,
        registered: dict[str, Any] | None = None,
        *,
        in_specs: bool = True,
    ) -> None:
        self.kind = kind
        self.group = group
        self._in_specs = in_specs
        self._own = dict(own or {})
        self._registered = {} if registered is None else registered

    def register(self, name: str, part: P) -> P:
        """Make `name` mean `part`, and return it; the same part may be registered again.

        Raises:
            ConfigError: the name is taken by another part, or cannot be written in a spec.
        """
        self._check_name(name)
        if not callable(part):
            raise ConfigError(f"{self.kind} {name!r}: {part!r:.200} cannot be called; register a class or a function.")
        if name in self._own or self._registered.setdefault(name, part) is not part:
            raise self._taken(name)
        return part

    def decorator(self, name: str) -> Callable[[P], P]:
        """Return the decorator that registers what it stands above under `name`.

        Raises:
            ConfigError: the name is the library's own, or cannot be written in a spec.
        """
        self._check_name(name)
        if name in self._own:
            raise self._taken(name)

        def register(part: P) -> P:
            return self.register(name, part)

        return register

    def _check_name(self, name: Any) -> None:
        if not isinstance(name, str) or not name.strip() or (self._in_specs and set(name) & set(":,= \t\n")):
            raise ConfigError(
                f"{self.kind} name {name!r:.200}: give a text that is not empty and has no comma, colon, equals sign "
                "or blank."
            )

    def _taken(self, name: str) -> ConfigError:
        return ConfigError(f"a {self.kind} named {name!r} is registered already; choose another name.")

    def names(self) -> list[str]:
        """Return the names of all parts that can be had here, sorted."""
        return sorted({*self._own, *self._registered, *(point.name for point in entry_points(group=self.group))})

    def owns(self, name: str) -> bool:
        """Return whether the part of this name is the library's own."""
        return name in self._own

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._registered or name in entry_points(group=self.group).names

    def find(self, name: str) -> Any:
        """Return the part that has this name: the library's own first, then registered ones, then offered ones.

        Raises:
            PartError: there is none, or two packages offer one, or the package that offers it cannot be imported; the
                message lists what is known.
        """
        if not isinstance(name, str):
            raise PartError(f"{self.kind}={name!r:.200} is not a name. Known: {', '.join(self.names()) or 'none'}.")
        for known in (self._own, self._registered):
            if name in known:
                part = known[name]
                return self._load(name, _own_entry(part, self.group)) if isinstance(part, str) else part
        offered = tuple(entry_points(group=self.group, name=name))
        if not offered:
            raise PartError(unknown_name(self.kind, name, self.names()))
        if len({point.value for point in offered}) > 1:
            origins = ", ".join(f"{_package(point)} ({point.value})" for point in offered)
            raise PartError(f"several packages offer a {self.kind} named {name!r}: {origins}. Uninstall all but one.")
        return self._load(name, offered[0])

    def build(self, name: str, *given: Any, options: Mapping[str, Any], **context: Any) -> Any:
        """Find a part and call it with what the library gives and with the options that a user wrote.

        Args:
            name: of the part.
            *given: what the library gives it by position.
            options: what the user wrote; those that the part does not take are an error that names those that it does.
                Texts are read as the part's annotations ask for (`mars2_env.base.spec.typed`).
            **context: what the library gives it by name.

        Raises:
            PartError: there is no such part, or the package that offers it cannot be imported.
            ConfigError: it does not take these options, or one has a value of another type.
        """
        part = self.find(name)
        read = self._read(part, name, given, options, context)
        return part(*given, **context, **read)

    def check(self, name: str, *given: Any, options: Mapping[str, Any], **context: Any) -> None:
        """Check the options of a part as `build` does, and build nothing; arguments and errors are those of `build`.

        What a part has been given to check them with (`checked_by`) is asked too.
        """
        part = self.find(name)
        read = self._read(part, name, given, options, context)
        further = getattr(part, CHECK, None)
        if further is not None:
            further(*given, **read)

    def _read(
        self, part: Any, name: str, given: Sequence[Any], options: Mapping[str, Any], context: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return a part's options, texts of them read as its annotations ask for."""
        signature = inspect.signature(part)
        try:
            if twice := context.keys() & options.keys():
                raise TypeError(f"{min(twice)!r} is not for users to give")
            signature.bind(*given, **context, **options)
        except TypeError as error:
            named = [
                p.name for p in signature.parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
            ]
            taken = [option for option in named[len(given) :] if option not in context]
            near = [match for option in options if option not in taken for match in get_close_matches(option, taken, 1)]
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"{self.kind} {name!r}: {error}.{hint} Its options: {', '.join(taken) or 'none'}."
            ) from None
        texts = {option: value for option, value in options.items() if isinstance(value, str)}
        return {**options, **typed_options(part, texts, f"{self.kind} {name!r}")}

    def _load(self, name: str, point: EntryPoint) -> Any:
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            owner = OURS if point.dist is None else point.dist.name
            hint = how_to_install(error, owner) if isinstance(error, ImportError) else ""
            again = "Where the package that offers it was updated in place, install it again."
            raise PartError(
                f"{self.kind} {name!r} ({point.value}) cannot be loaded: {error}. {hint or again}"
            ) from error


def _own_entry(dotted: str, group: str) -> EntryPoint:
    return EntryPoint(dotted, dotted, group)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "a package"
