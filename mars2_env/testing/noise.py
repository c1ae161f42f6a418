"""A SIMULATED policy: it knows the reference programs and writes them with plausible slips.

No model stands behind it. It is for studying searches, selectors, credit and logs without one; what it solves says
nothing about any model. Spec: `noise:PROFILE`, with options that set one family's skill (`boundary=0.2`), `repair`,
`unaided` or `slip`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from math import sqrt
from random import Random
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

from mars2_env.base.parts import checked_by
from mars2_env.errors import ConfigError, PolicyError, ProblemError, unknown_name
from mars2_env.problems.base import ProblemSet
from mars2_env.prompt.programs import fenced
from mars2_env.testing.mutation import FAMILIES, Reference, Site, families
from mars2_env.types import Problem, Reply, Turn

DEFAULT_SKILL: Final = 0.68
"""Of every family, where a profile says nothing else. Calibrated: about a sixth of fresh programs are right on the
starter set and a quarter on HumanEval, slips that change nothing among them.
"""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a simulated author is good at; all numbers are probabilities.

    Writing afresh, each family of places (`mutation.FAMILIES`) that the program has is got right with
    `skill[family] ** sqrt(5 / n)`, n being how many families it has: its skill for a program of five, and a longer
    program is harder, but not in proportion. Else one slip is made in that family. Refining, a slip is mended with
    `repair * skill[family]` where the turn carries feedback that quotes a test, `unaided * skill[family]` where it does
    not. Then, in each family, a new slip is made with probability `slip * (1 - skill[family])`.
    """

    skill: Mapping[str, float] = field(default_factory=dict)
    repair: float = 0.6
    unaided: float = 0.2
    slip: float = 0.15

    def __post_init__(self) -> None:
        skill = {name: DEFAULT_SKILL for name in FAMILIES} | dict(self.skill)
        for name in skill:
            if name not in FAMILIES:
                raise ConfigError(unknown_name("family of slips", name, FAMILIES))
        chances = {"repair": self.repair, "unaided": self.unaided, "slip": self.slip, **skill}
        for name, value in chances.items():
            if not 0 <= value <= 1:
                raise ConfigError(f"Profile({name}={value!r}): must be a probability, from 0 to 1.")
        object.__setattr__(self, "skill", MappingProxyType(skill))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a call of the constructor: a read-only view of a mapping cannot be pickled itself."""
        return type(self), (dict(self.skill), self.repair, self.unaided, self.slip)


def _all(skill: float, **others: float) -> dict[str, float]:
    return {name: skill for name in FAMILIES} | others


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "default": Profile(),
        "strong": Profile(_all(0.88), repair=0.8),
        "weak": Profile(_all(0.5), repair=0.4),
        "arithmetic": Profile(_all(0.78, arithmetic=0.97, constant=0.95, initial=0.95, boundary=0.35, comparison=0.35)),
        "boundary": Profile(_all(0.78, arithmetic=0.35, constant=0.35, initial=0.35, boundary=0.97, comparison=0.95)),
        "perfect": Profile(_all(1.0), repair=1.0),
        "hopeless": Profile(_all(0.0), repair=0.0, unaided=0.0),
    }
)
"""Profiles by name. `arithmetic` and `boundary` complement each other: each mends what the other gets wrong."""


class NoisePolicy:
    """SIMULATED: writes and mends reference programs with slips; no model stands behind it.

    A pure function of (turn, seed): every draw comes from `random.Random(turn.seed)`. A fresh turn writes the reference
    with slips. A refinement finds the slips of the parent's program by comparing syntax trees, mends some and may make
    new ones; a parent that is not the reference with slips is written afresh. Where the agent chooses the parent, it
    takes one of those on offer, all equally likely.

    Args:
        problems: the problems with their reference programs, or a mapping from problem id to reference program.
        profile: a `Profile` or the name of one in `PROFILES`.
        name: what `repr` calls the profile.

    Raises:
        ConfigError: the profile is unknown.
        PolicyError: no problem has a reference program.
    """

    def __init__(
        self,
        problems: Iterable[Problem] | Mapping[str, str],
        profile: Profile | str = "default",
        *,
        name: str = "",
    ) -> None:
        if isinstance(profile, str) and profile not in PROFILES:
            raise ConfigError(unknown_name("profile of the simulated policy", profile, PROFILES))
        if not isinstance(profile, str | Profile):
            raise ConfigError(f"NoisePolicy(profile={profile!r:.200}) is neither a Profile nor the name of one.")
        if isinstance(problems, str) or not isinstance(problems, Iterable):
            raise ConfigError(f"NoisePolicy({problems!r:.200}): give problems, or a mapping from id to program.")
        self.name = name or (profile if isinstance(profile, str) else "own")
        self.profile = PROFILES[profile] if isinstance(profile, str) else profile
        pairs = problems.items() if isinstance(problems, Mapping) else ((p.id, p.reference) for p in problems)
        self._programs = {id: program for id, program in pairs if program is not None}
        if not self._programs:
            raise PolicyError("NoisePolicy (simulated) writes reference programs with slips; no problem here has one.")
        self._references: dict[str, Reference] = {}
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but the lock and what was made of programs so far."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_references")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled."""
        self.__dict__.update(state, _lock=Lock(), _references={})

    def __repr__(self) -> str:
        return f"NoisePolicy(simulated, profile={self.name!r}, {len(self._programs)} reference programs)"

    @property
    def identity(self) -> str:
        """The profile, by name and chances, and a digest of the reference programs."""
        chances = {one.name: getattr(self.profile, one.name) for one in fields(self.profile)}
        chances["skill"] = sorted(self.profile.skill.items())
        parts = (sorted(chances.items()), sorted(self._programs.items()))
        return f"noise:{self.name},{sha256(repr(parts).encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order.

        Raises:
            PolicyError: a turn's problem has no reference program.
        """
        return [self._reply(turn) for turn in turns]

    def _reply(self, turn: Turn) -> Reply:
        if turn.parent is not None:
            return Reply(self._text(turn))
        parent = turn.parents[int(Random(turn.seed).random() * len(turn.parents))]
        return Reply(self._text(turn.at(parent)), parent=parent)

    def _text(self, turn: Turn) -> str:
        reference = self.reference(turn.problem.id)
        draw = Random(turn.seed)
        before = None if turn.program is None else reference.slips(turn.program)
        if before is None:
            slips = fresh_slips(reference, self.profile, draw)
            opening = "(simulated) Here is the program."
        else:
            quoted = turn.feedback is not None and not turn.feedback.unshown
            slips = refined_slips(reference, self.profile, before, draw, feedback=quoted)
            opening = "(simulated) Here is the corrected program."
        return f"{opening}\n\n{fenced(reference.write(slips), 'python')}\n"

    def reference(self, problem: str) -> Reference:
        """Return the reference of a problem, with the places where slips can be made.

        Raises:
            PolicyError: the problem has no reference program, or one in which no slip can be made.
        """
        with self._lock:
            if problem not in self._references:
                if problem not in self._programs:
                    raise PolicyError(
                        f"NoisePolicy (simulated) needs a reference program for {problem!r} and was given none; choose "
                        "problems that have one, or another policy."
                    )
                try:
                    self._references[problem] = Reference(self._programs[problem])
                except ProblemError as error:
                    raise PolicyError(f"NoisePolicy (simulated), problem {problem!r}: {error}") from error
            return self._references[problem]


def fresh_slips(reference: Reference, profile: Profile, draw: Random) -> dict[int, int]:
    """Return the slips of a program written afresh, at most one in each family; see `Profile` for the law."""
    slips: dict[int, int] = {}
    grouped = families(reference.sites)
    care = sqrt(5 / len(grouped))
    for family, sites in grouped.items():
        if draw.random() >= profile.skill[family] ** care:
            slips.update(_one_slip(sites, draw))
    return slips


def refined_slips(
    reference: Reference, profile: Profile, before: Mapping[int, int], draw: Random, *, feedback: bool
) -> dict[int, int]:
    """Return the slips of a refinement of a program that had those `before`: some mended, perhaps new ones made."""
    slips: dict[int, int] = {}
    chance = profile.repair if feedback else profile.unaided
    for family, sites in families(reference.sites).items():
        for site in sites:
            if site.number in before and draw.random() >= chance * profile.skill[family]:
                slips[site.number] = before[site.number]
        if draw.random() < profile.slip * (1 - profile.skill[family]):
            new = [site for site in sites if site.number not in before]
            slips.update(_one_slip(new, draw) if new else {})
    return slips


def _one_slip(sites: list[Site], draw: Random) -> dict[int, int]:
    site = sites[int(draw.random() * len(sites))]
    return {site.number: int(draw.random() * len(site.variants))}


def profile_of(rest: str, **options: str) -> Profile:
    """Return the profile of a spec `noise:PROFILE,key=value,...`.

    Args:
        rest: the name of a profile; empty means `default`.
        options: `repair`, `unaided`, `slip` or a family of slips, each a probability as text.

    Raises:
        ConfigError: the profile or an option is unknown, or a value is not a probability.
    """
    name = rest or "default"
    if name not in PROFILES:
        raise ConfigError(unknown_name("profile of the simulated policy", name, PROFILES))
    chances = [f.name for f in fields(Profile) if f.name != "skill"]
    values: dict[str, float] = {}
    for option, text in options.items():
        if option not in (*chances, *FAMILIES):
            raise ConfigError(unknown_name("option of noise", option, [*chances, *FAMILIES]))
        try:
            values[option] = float(text)
        except ValueError:
            raise ConfigError(f"noise option {option}={text!r}: not a number.") from None
    profile = PROFILES[name]
    skill = {**profile.skill, **{key: value for key, value in values.items() if key in FAMILIES}}
    return replace(profile, skill=skill, **{key: value for key, value in values.items() if key in chances})


@checked_by(profile_of)
def from_spec(rest: str, *, problems: ProblemSet | None = None, **options: str) -> NoisePolicy:
    """Build the simulated policy of a spec `noise:PROFILE,key=value,...`.

    Args:
        rest: as in `profile_of`.
        problems: the problems to be played; their reference programs are needed.
        options: as in `profile_of`.

    Raises:
        ConfigError: the profile or an option is unknown, or a value is not a probability.
        PolicyError: there are no problems, or none has a reference program.
    """
    profile = profile_of(rest, **options)
    if problems is None:
        raise PolicyError("noise (simulated) needs the problems to be played, for their reference programs.")
    name = ",".join([rest or "default", *(f"{key}={text}" for key, text in options.items())])
    return NoisePolicy(problems, profile, name=name)
