"""Algorithms by name, or as `module:factory` for anyone's; settings follow as in every spec: `ppo,envs=128,rate=1e-3`.

A factory is called with the settings and returns the algorithm (a class whose objects can be called is one):

    algorithm(named, expansions, seed, told) -> controller

`named` is the environment, whose vectors it learns from; it may take so many expansions of them, and tells after each
update how many it took and what plays now. A step that may go beyond the budget is not taken: learning is over then,
and what was told last is what plays. The controller acts in all trees of a vector at once, by observations alone; a
reference of this package may look at the trees themselves, and returns a function from a vector to its controller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Final, get_type_hints

import msgspec

from mars2_bench.harness.origin import source_digest
from mars2_bench.harness.results import ALGORITHM_NAME, Recipe, Result
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Controller, Player, Told
from mars2_env.base.parts import Parts
from mars2_env.base.spec import parse_spec, plain, typed_options
from mars2_env.errors import ConfigError, LogError, PolicyError

Algorithm = Callable[[Named, int, int, Told | None], Controller | Player]

GROUP: Final = "mars2_bench.algorithms"
"""Entry points of packages that offer algorithms by name."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An algorithm that comes with this package.

    Attributes:
        factory: where its factory is, `module:name`.
        games: what it plays.
        says: what it is, in a few words.
        reference: whether it is there to be measured by: it has no budget, and may look at what no controller sees.
        draws: whether its seed matters.
        needs: the package beside PyTorch that it needs.
        settings: that set it apart from others of the same factory.
    """

    factory: str
    games: tuple[str, ...]
    says: str
    reference: bool = False
    draws: bool = True
    needs: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


_BOTH: Final = ("route", "place")
_HERE: Final = "mars2_bench.harness.references"
_IPPO: Final = "mars2_bench.algorithms.ippo:Ippo"
_ADAPTED: Final = "mars2_bench.harness.adapters"

OFFERED: Final[Mapping[str, Offer]] = {
    "random": Offer(f"{_HERE}:random", _BOTH, "any action that the mask allows", reference=True),
    "open-loop": Offer(f"{_HERE}:open_loop", _BOTH, "the best schedule found on training problems", reference=True),
    "greedy": Offer(f"{_HERE}:greedy", _BOTH, "expands the best node", reference=True, draws=False),
    "thompson": Offer(f"{_HERE}:thompson", _BOTH, "AB-MCTS-A by what is observed", reference=True),
    "by-hand": Offer(
        f"{_HERE}:by_hand", _BOTH, "written by whoever read how the authors write", reference=True, draws=False
    ),
    "oracle": Offer(f"{_HERE}:oracle", _BOTH, "knows roles and slips, not luck", reference=True, draws=False),
    "ppo": Offer("mars2_bench.algorithms.ppo:Ppo", ("route",), "PPO: one controller"),
    "ippo": Offer(_IPPO, ("place",), "PPO: each agent by what it sees, paid for what the team earns"),
    "ippo-own": Offer(_IPPO, ("place",), "the same, each paid for what it earns itself", settings={"share": "own"}),
    "mappo": Offer("mars2_bench.algorithms.mappo:Mappo", ("place",), "IPPO with a critic that sees everything"),
    "joint": Offer("mars2_bench.algorithms.joint:Joint", ("place",), "PPO: one policy that sees what all agents see"),
    "sb3-ppo": Offer(f"{_ADAPTED}.sb3:Sb3Ppo", _BOTH, "PPO of Stable-Baselines3, without masks", needs="sb3"),
    "sb3-a2c": Offer(f"{_ADAPTED}.sb3:Sb3A2c", _BOTH, "A2C of Stable-Baselines3, without masks", needs="sb3"),
    "sb3-maskable-ppo": Offer(f"{_ADAPTED}.sb3:Sb3MaskablePpo", _BOTH, "MaskablePPO of sb3-contrib", needs="sb3"),
    "torchrl-ppo": Offer(f"{_ADAPTED}.torchrl:TorchRlPpo", _BOTH, "PPO of TorchRL's parts", needs="torchrl"),
    "torchrl-mappo": Offer(f"{_ADAPTED}.torchrl:TorchRlMappo", ("place",), "with one critic for all", needs="torchrl"),
    "benchmarl-mappo": Offer(f"{_ADAPTED}.benchmarl:BenchMarl", ("place",), "MAPPO of BenchMARL", needs="benchmarl"),
    "benchmarl-ippo": Offer(f"{_ADAPTED}.benchmarl:BenchMarlIppo", ("place",), "IPPO of BenchMARL", needs="benchmarl"),
}
"""Algorithms by name."""


@dataclass(frozen=True, slots=True)
class Made:
    """An algorithm that is ready to learn, and what a result says of it."""

    recipe: Recipe
    learn: Algorithm

    @property
    def games(self) -> tuple[str, ...]:
        """What it plays; one from elsewhere is taken to play everything."""
        offer = offer_of(self.recipe)
        return _BOTH if offer is None else offer.games

    @property
    def reference(self) -> bool:
        """Whether it is one of this package's references, which have no budget."""
        offer = offer_of(self.recipe)
        return offer is not None and offer.reference

    @property
    def draws(self) -> bool:
        """Whether its seed matters."""
        offer = offer_of(self.recipe)
        return offer is None or offer.draws


def offer_of(recipe: Recipe) -> Offer | None:
    """Return what this package says of an algorithm; None for one that does not come with it."""
    offer = OFFERED.get(recipe.name)
    return offer if offer is not None and offer.factory == recipe.factory else None


def check_name(name: str, factory: str) -> None:
    """Check that an algorithm does not go by the name of another that this package offers.

    Raises:
        ConfigError: it does, or it is a reference of this package under another name.
    """
    if name in OFFERED and OFFERED[name].factory != factory:
        raise ConfigError(
            f"the name {name!r} is taken by one of this package, and this is {factory}; give it another --name."
        )
    for known, offer in OFFERED.items():
        if offer.reference and offer.factory == factory and known != name:
            raise ConfigError(f"name={name!r}: {known} is a reference, and keeps its name on the board.")


def check_claims(result: Result) -> None:
    """Check what a result says of itself, as far as no tree has to be played for it.

    Raises:
        ConfigError: of its name, see `check_name`.
        LogError: it took more expansions than its budget.
    """
    check_name(result.algorithm.name, result.algorithm.factory)
    offer = offer_of(result.algorithm)
    if result.expansions > result.budget and not (offer and offer.reference):
        raise LogError(f"{result.expansions:,} expansions are more than its budget of {result.budget:,}.")


def make(text: str, name: str | None = None) -> Made:
    """Return the algorithm of a spec.

    Args:
        text: `ppo`, `ppo,envs=128`, `mylab.tree:Mine,width=64`.
        name: what the board calls it; None: the name in the spec, of a factory its own in small letters.

    Raises:
        ConfigError: there is no such algorithm, it cannot be imported, or does not take these settings.
    """
    spec = parse_spec(text, "algorithm")
    key = f"{spec.name}:{spec.rest}" if spec.rest else spec.name
    own = {name: offer.factory for name, offer in OFFERED.items()}
    parts = Parts("algorithm", GROUP, {**own, key: key} if spec.rest else own, in_specs=False)
    factory = parts.find(key)
    if not callable(factory):
        raise ConfigError(f"algorithm {text!r:.200}: {factory!r:.200} is no factory: it cannot be called.")
    preset = OFFERED[key].settings if key in OFFERED else {}
    learn = _built(parts, key, factory, {**preset, **spec.options})
    if not callable(learn):
        raise PolicyError(f"algorithm {text!r:.200}: its factory returned {learn!r:.200}, which cannot be called.")
    called = name or (spec.rest.rpartition(".")[2].lower() if spec.rest else spec.name)
    if not ALGORITHM_NAME.fullmatch(called):
        raise ConfigError(f"name={called!r:.200}: an algorithm's name has small letters, digits, '.', '_' and '-'.")
    settings = _settings(learn, spec.options)
    where = key if spec.rest else own.get(key) or f"{factory.__module__}:{factory.__qualname__}"
    check_name(called, where)
    return Made(Recipe(called, where, settings, source_digest(factory)), learn)


def remade(recipe: Recipe) -> Made:
    """Return the algorithm that a result was made by.

    Raises:
        ConfigError: it cannot be imported, does not take the settings, or has other sources by now.
    """
    parts = Parts("algorithm", GROUP, {recipe.factory: recipe.factory}, in_specs=False)
    factory = parts.find(recipe.factory)
    source = source_digest(factory)
    if source != recipe.source:
        raise ConfigError(
            f"{recipe.factory} has other sources here ({source:.16}) than those of the result ({recipe.source:.16}); "
            "check out the commit that the result names."
        )
    return Made(recipe, _built(parts, recipe.factory, factory, recipe.settings))


def _built(parts: Parts, name: str, factory: Any, given: Mapping[str, Any]) -> Any:
    """Return what a factory makes with settings: texts, or plain data as a result has it.

    Of a dataclass, a setting may also be a field of one of its fields: `ppo,rate=1e-3` is `Ppo(Settings(rate=1e-3))`.
    """
    if not (is_dataclass(factory) and isinstance(factory, type)):
        return parts.build(name, options=given)
    kinds = get_type_hints(factory)
    inner = {holder: kind for holder, kind in kinds.items() if is_dataclass(kind) and isinstance(kind, type)}
    own: dict[str, Any] = {}
    parted: dict[str, dict[str, Any]] = {}
    for setting, value in given.items():
        holder = next((one for one, kind in inner.items() if setting in kind.__dataclass_fields__), "")
        if setting in inner and isinstance(value, Mapping):
            parted.setdefault(setting, {}).update(value)
        elif holder and setting not in kinds:
            parted.setdefault(holder, {})[setting] = value
        else:
            own[setting] = value
    for holder, values in parted.items():
        own[holder] = inner[holder](**typed_options(inner[holder], values, f"algorithm {name!r}"))
    return parts.build(name, options=own)


def _settings(learn: Any, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of an algorithm: all fields of a dataclass, else what was given."""
    if hasattr(type(learn), "__dataclass_fields__"):
        found: dict[str, Any] = msgspec.to_builtins(learn, enc_hook=repr)
        return found
    return {option: plain(value) for option, value in given.items()}


def player_of(learned: Controller | Player, *, sees_trees: bool = False) -> Player:
    """Return what makes a controller for a vector of what an algorithm returned.

    Args:
        learned: a controller, or a function from a vector to one.
        sees_trees: whether it may be such a function: it could look at what no observation shows.

    Raises:
        PolicyError: it returned something else.
    """
    if hasattr(learned, "act"):
        return lambda _: learned
    if sees_trees and callable(learned):
        return learned
    raise PolicyError(
        f"the algorithm returned {learned!r:.200}: return a controller, which has act(observations, rng) -> actions."
    )
