"""What observations tell besides the tree: clues about its problem, and to each agent the card of its own generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mars2_env.base.abilities import keeps
from mars2_env.base.blame import blamed
from mars2_env.base.checks import real_number, shown, whole_number
from mars2_env.episode import Episode
from mars2_env.errors import ConfigError, Mars2Error, PolicyError
from mars2_env.types import Clues, Policy, PublicView, ShowsCard

Numbers = tuple[float, ...]


def clues_of(clues: Clues | None, problem: PublicView) -> Numbers:
    """Return what a task's clues tell of a problem; nothing where it has none.

    Raises:
        ConfigError: that is not so many numbers in [0, 1] as they say.
    """
    if clues is None:
        return ()
    with blamed("the clues", clues):
        found = clues(problem)
    return _numbers(f"the clues {clues!r:.200} on {problem.id!r}", found, clues.size, ConfigError)


def card_size(generators: Mapping[str, Policy]) -> int:
    """Return how many numbers are on each agent's card.

    Args:
        generators: agent -> the policy that writes its programs.

    Raises:
        ConfigError: one of them shows no card, or they are not equally long.
    """
    sizes: dict[str, int] = {}
    for agent, generator in generators.items():
        if not keeps(generator, ShowsCard):
            raise ConfigError(
                f"cards=True: the generator of {agent}, {generator!r:.200}, shows none; it needs card_size and "
                "card(tree_seed, problem, agent) (`mars2_env.types.ShowsCard`)."
            )
        sizes[agent] = whole_number("card_size", generator.card_size, where=f"the generator of {agent}")
    if len(set(sizes.values())) > 1:
        raise ConfigError(f"cards=True: the generators' cards have {sizes} numbers; all agents need as many.")
    return next(iter(sizes.values()))


def cards_of(generators: Mapping[str, Policy], size: int, episode: Episode) -> dict[str, Numbers]:
    """Return each agent's card in a tree.

    Args:
        generators: agent -> the policy that writes its programs, and shows cards.
        size: how many numbers are on one.
        episode: the tree's.

    Raises:
        PolicyError: a card is not so many numbers in [0, 1].
    """
    found: dict[str, Numbers] = {}
    for agent, generator in generators.items():
        assert keeps(generator, ShowsCard)
        with blamed(f"card() of the generator of {agent}", generator):
            card = generator.card(episode.tree_seed, episode.problem, agent)
        found[agent] = _numbers(f"the card of {agent} by {generator!r:.200}", card, size, PolicyError)
    return found


def _numbers(what: str, given: Sequence[float], size: int, error: type[Mars2Error]) -> Numbers:
    try:
        found = tuple(float(real_number("number", one, least=0, most=1)) for one in given)
        if len(found) == size:
            return found
    except (TypeError, ConfigError):
        pass
    raise error(f"{what}: {shown(given)} is not {size} numbers from 0 to 1.") from None
