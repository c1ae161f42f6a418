"""A policy that asks a server that speaks OpenAI's chat protocol: OpenAI's own, vLLM, SGLang, llama.cpp, a provider's.

Spec: `openai:MODEL` or `openai:MODEL@URL`, with the options `temperature`, `top_p`, `max_tokens`, `stop` (texts between
slashes), `reasoning_effort`, `system`, `logprobs`, `logprobs_kind`, `prices` (a TOML file), `key_env`, `concurrency`,
`timeout` and `retries`. Keys come from the environment alone, and are in no text that this module makes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from fractions import Fraction
from hashlib import sha256
from typing import Any, Final, TypeVar

from mars2_agents.policies import chat_wire as wire
from mars2_agents.policies.chat_address import DEFAULT_KEY, NO_KEY, key_of, model_and_url, server_url
from mars2_agents.policies.chat_wire import Answer, Dialect, Refusal, Sampling
from mars2_agents.policies.prices import Prices, cost, read_prices
from mars2_agents.policies.private_loop import Gate, PrivateLoop
from mars2_agents.policies.transformers import named_parent
from mars2_env.base.checks import real_number, whole_number
from mars2_env.base.extras import needed_by
from mars2_env.base.keys import seed as keyed
from mars2_env.base.parts import checked_by
from mars2_env.errors import ConfigError, PolicyError, PolicyUnavailableError, unknown_name
from mars2_env.problems.base import ProblemSet
from mars2_env.prompt import completion, messages_text, tokens_of
from mars2_env.types import Given, LogprobsKind, Message, Reply, Turn

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
LONGEST_TOLD: Final = 300.0
"""Seconds: a server that wants to be left alone for longer is not waited for."""

MOST_CUTS: Final = 6
T = TypeVar("T")

_log = logging.getLogger(__name__)


class ServerError(PolicyUnavailableError):
    """A server that did not answer, however often it was asked: no fault of the policy's, and worth asking again."""


class OpenAIPolicy:
    """Writes programs with a model behind a server that speaks OpenAI's chat protocol.

    A turn's seed is in its request; how far a server keeps to it is the server's business, and few promise anything.
    Requests are made on a loop of the policy's own, `concurrency` at a time over all callers. What passes (429, 5xx, a
    connection that drops, no answer in time, an answer that cannot be read) is asked again after growing pauses, which
    the turn's seed spreads; `Retry-After` is kept to. What does not pass (a bad key, an unknown model) is a
    `PolicyError` at once. A prompt that does not fit the model's context loses the middle of its longest message.
    What a model thinks first, where the server tells it apart, is kept in the generation's text and not in the reply's.
    Where the agent chooses the parent, a reply's last line `PARENT: n` names it; without one it is the root.

    Args:
        model: the name that the server knows it by.
        base_url: of the server, such as `http://localhost:8000/v1`; by default what `OPENAI_BASE_URL` says, or
            OpenAI's.
        sampling: how to write; keyword arguments are its fields, for short.
        system: what is said behind the prompt's own system message, such as a role.
        prices: what tokens cost (`prices`), so that replies tell their cost: a mapping, or a TOML file.
        key_env: the environment variable that holds the key; "none" for a server that wants none.
        concurrency: how many requests are open at a time at most.
        timeout: seconds in which an answer has to be there.
        retries: how often a request is made again at most.
        pause: waits for so many seconds between them.

    Raises:
        ConfigError: an argument makes no sense.
        PolicyError: OpenAI's own server is asked and there is no key.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        sampling: Sampling | None = None,
        *,
        system: str = "",
        prices: Prices | None = None,
        key_env: str | None = None,
        concurrency: int = 16,
        timeout: float = 600.0,
        retries: int = 8,
        pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        **settings: Any,
    ) -> None:
        unknown = next((name for name in settings if name not in Sampling.__slots__), None)
        if unknown is not None:
            raise ConfigError(unknown_name("setting of OpenAIPolicy", unknown, Sampling.__slots__))
        if not isinstance(model, str) or not model.strip():
            raise ConfigError(f"OpenAIPolicy(model={model!r:.200}): give the model's name, as the server knows it.")
        if not isinstance(system, str):
            raise ConfigError(f"OpenAIPolicy(system={system!r:.200}): give a text.")
        self.model = model
        self.base_url = server_url(base_url)
        self.sampling = replace(sampling or Sampling(), **settings)
        self.system = system
        self._concurrency = whole_number("concurrency", concurrency, where="OpenAIPolicy")
        self._timeout = real_number("timeout", timeout, above=0, where="OpenAIPolicy")
        self._retries = whole_number("retries", retries, least=0, where="OpenAIPolicy")
        self._pause = pause
        self._price = None if prices is None else read_prices(prices).get(model)
        if prices is not None and self._price is None:
            _log.warning("no price of %r in prices=: what it costs will not be known.", model)
        self._key_env = key_env or DEFAULT_KEY
        self._key = key_of(self._key_env, self.base_url, chosen=key_env is not None)
        with needed_by(f"openai:{model}"):
            import openai  # noqa: F401  # a package that is not there is said now, not at the first turn
        self._dialect = Dialect()
        self._gate = Gate(self._concurrency)
        self._client: Any = None
        self._answered: dict[str, Reply] = {}
        self._loop = PrivateLoop(f"mars2-openai-{model}")
        self._finalizer = weakref.finalize(self, self._loop.close)

    def __repr__(self) -> str:
        return f"OpenAIPolicy({self.model!r}, {self.base_url!r}{''.join(f', {one}' for one in self._settings())})"

    @property
    def identity(self) -> str:
        """The model and how it is asked; not where its server stands, which may move in the course of a run."""
        said = [f"openai:{self.model}", *self._settings()]
        if self.system:
            said.append(f"system={sha256(self.system.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}")
        return ",".join(said)

    @property
    def concurrency(self) -> int:
        """How many requests are open at a time at most."""
        return self._concurrency

    @property
    def gives(self) -> frozenset[Given]:
        """What its replies tell: token counts; the cost, of a model with a price; ids and log-probs on request."""
        given: set[Given] = {"token_counts"}
        if self._price is not None:
            given.add("cost")
        if self.sampling.logprobs:
            given |= {"token_ids", "logprobs"}
        return frozenset(given)

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order; all are asked for at once, on whatever thread or loop this is.

        Where some were answered and one was not, the others' replies are kept, and given when the same turns come
        again: they are paid for.

        Raises:
            ServerError: the server did not answer one of them, however often it was asked.
            PolicyError: the server refuses what it is asked.
        """
        return self._loop.run(self._all(turns))

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        """Return the reply to a turn; whoever stops waiting for it closes its connection.

        Args:
            turn: the turn.
            priority: the smaller, the sooner it is asked where more than `concurrency` wait.

        Raises:
            ServerError: the server did not answer, however often it was asked.
            PolicyError: the server refuses what it is asked.
        """
        return await self._loop.arun(self._one(turn, priority))

    def close(self) -> None:
        """Close the connections and cancel what is asked; a later turn opens them again."""
        self._loop.close()

    def _settings(self) -> list[str]:
        """Return what differs from the default, as a spec has it."""
        values = {one.name: getattr(self.sampling, one.name) for one in fields(Sampling)}
        return [f"{name}={value}" for name, value in values.items() if value != getattr(Sampling(), name)]

    async def _all(self, turns: Sequence[Turn]) -> list[Reply]:
        names = [_name_of(turn) for turn in turns]
        kept = {name: self._answered.pop(name) for name in names if name in self._answered}
        if len(turns) > 1 and not kept:  # what was kept belongs to a call that nobody makes again
            self._answered.clear()
        tasks = [
            asyncio.ensure_future(_ready(kept[name]) if name in kept else _caught(self._one(turn, place)))
            for place, (name, turn) in enumerate(zip(names, turns, strict=True))
        ]
        try:
            outcomes = await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # a refusal is one for all: the others are not to be paid for
                task.cancel()
        failed = next((one for one in outcomes if isinstance(one, ServerError)), None)
        if failed is None:
            return [one for one in outcomes if isinstance(one, Reply)]
        self._answered |= {name: one for name, one in zip(names, outcomes, strict=True) if isinstance(one, Reply)}
        raise failed

    async def _one(self, turn: Turn, priority: int) -> Reply:
        async with self._gate.passing(priority):
            return await self._reply(turn)

    async def _reply(self, turn: Turn) -> Reply:
        """Ask until there is an answer; a refusal changes what is asked, or is waited out, or is the end."""
        asked = _Asked(wire.with_system(turn.messages, self.system), self.sampling.max_tokens, self._dialect)
        first = tokens_of(asked.messages)
        wasted, failures = Fraction(0), 0
        while True:
            found = await self._answer(asked, turn.seed)
            paid = None if self._price is None else cost(self._price, found.usage)
            if isinstance(found, Answer):
                spent = None if paid is None else wasted + paid
                return self._reply_of(turn, found, first - tokens_of(asked.messages), spent)
            wasted += paid or 0  # an answer that could not be read is paid for like any other
            if (changed := self._changed(asked, found)) is not None:
                asked = changed
            elif not found.passing:
                raise PolicyError(self._refused(found))
            elif failures == self._retries or (found.wait or 0) > LONGEST_TOLD:
                raise ServerError(self._away(found, failures + 1))
            else:
                seconds = pause_before(failures, turn.seed, found.wait)
                failures += 1
                _log.info("%s: %s; retry %d in %.1f s.", self.model, _said(found), failures, seconds)
                await self._pause(seconds)

    async def _answer(self, asked: _Asked, seed: int) -> Answer | Refusal:
        """Make one request, and return whatever came of it; only being cancelled is raised."""
        import openai

        body = wire.request(asked.messages, seed, self.sampling, asked.dialect, asked.most)
        client = self._connected()
        resource = client.completions if completion(asked.messages) else client.chat.completions
        given = {name: body.pop(name) for name in ("messages", "prompt") if name in body}
        try:
            async with asyncio.timeout(self._timeout):
                raw = await resource.with_raw_response.create(model=self.model, **given, extra_body=body)
            return wire.answer(self._read(raw.content.decode("utf-8", "replace"), None))
        except TimeoutError:
            return Refusal(f"no answer within {self._timeout:g} s")
        except openai.APIStatusError as error:
            wait = wire.told_wait(error.response.headers, datetime.now(UTC))
            text = error.response.text
            return wire.refusal(error.status_code, self._read(text, self._masked(text)), wait=wait)
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            return Refusal(self._masked(f"the connection failed ({type(cause).__name__}: {cause})"))

    def _connected(self) -> Any:
        """Return the client, made on the loop that it is used on."""
        if self._client is None or self._client.is_closed():
            import openai

            # What is asked again, and when, and how long an answer may take, is decided in one place: here.
            self._client = openai.AsyncOpenAI(
                api_key=self._key or NO_KEY, base_url=self.base_url, max_retries=0, timeout=None
            )
            self._loop.at_end(self._client.close)
        return self._client

    def _changed(self, asked: _Asked, refusal: Refusal) -> _Asked | None:
        """Return what to ask instead, where a refusal says what the server would take."""
        if refusal.too_long and asked.cuts < MOST_CUTS:
            tokens, most = wire.room(refusal, tokens_of(asked.messages), asked.most)
            if tokens < tokens_of(asked.messages):
                asked = replace(asked, messages=wire.cut(asked.messages, tokens))
            return replace(asked, most=most, cuts=asked.cuts + 1)
        if asked.dialect != self._dialect:  # another turn has learnt it meanwhile
            return replace(asked, dialect=self._dialect)
        dialect = wire.adapted(asked.dialect, refusal)
        if dialect is None:
            return None
        if not dialect.seeds and asked.dialect.seeds:
            _log.warning("the server of %s takes no seed; its replies will differ from run to run.", self.model)
        self._dialect = dialect
        return replace(asked, dialect=dialect)

    def _reply_of(self, turn: Turn, found: Answer, cut: int, spent: Fraction | None) -> Reply:
        """Return an answer as a reply.

        Raises:
            PolicyError: it does not tell the tokens that were asked for.
        """
        if self.sampling.logprobs and not 0 < len(found.completion_ids) == len(found.logprobs):
            raise PolicyError(
                f"openai:{self.model}: the server told {len(found.completion_ids)} token ids and {len(found.logprobs)} "
                "log-probabilities of an answer; one each is needed. vLLM tells both, from 0.10.2 on; elsewhere leave "
                "out logprobs=."
            )
        return Reply(
            found.text,
            parent=named_parent(found.text) if turn.parent is None else None,
            generation=wire.generation(found, self.sampling, cut),
            cost=None if spent is None else float(spent),
        )

    def _refused(self, refusal: Refusal) -> str:
        where = f"openai:{self.model} at {self.base_url}"
        if refusal.status == 401:  # servers quote the key, in part and whole: nothing of what they say is shown
            if not self._key:
                return f"{where}: the server wants a key (401). Name the environment variable that has it by key_env=."
            return f"{where}: the server refused the key (401) that the environment variable {self._key_env} holds."
        said = f"{where}: the server refused the request ({_said(refusal)})."
        return f"{said} It does not know the model, or the URL is another." if refusal.status == 404 else said

    def _away(self, refusal: Refusal, times: int) -> str:
        asked = "asked once" if times == 1 else f"asked {times} times"
        wait = f"; it wants to be left alone for {refusal.wait:.0f} s" if refusal.wait is not None else ""
        return f"openai:{self.model} at {self.base_url} did not answer, {asked}: {_said(refusal)}{wait}."

    def _read(self, text: str, otherwise: Any) -> Any:
        """Return the JSON of a text without the key, which a server may echo; `otherwise` where it is none."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return otherwise
        return _mapped(found, self._masked) if self._key and (self._key in text or "\\" in text) else found

    def _masked(self, text: str) -> str:
        """Return a text without the key. Such as EMPTY, which local servers are given, is none: programs have words."""
        secret = len(self._key) >= 12 or (len(self._key) >= 6 and not self._key.isalnum())
        return text.replace(self._key, "[key]") if secret else text


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for a turn, as it stands: `most` tokens of completion, and how often the prompt was cut."""

    messages: tuple[Message, ...]
    most: int | None
    dialect: Dialect
    cuts: int = 0


def pause_before(retry: int, seed: int, told: float | None) -> float:
    """Return for how many seconds to wait before a retry: what the server asks for, and a pause spread by the seed.

    Args:
        retry: its number, from 0; the pause doubles with each, from half a second to half a minute.
        seed: of the turn: turns that failed together do not come back together.
        told: what the server asks for, if it does.
    """
    spread = 0.5 + 0.5 * keyed("pause before a retry", seed, retry) / 2**63
    if told is not None:
        return told + FIRST_PAUSE * spread
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**retry) * spread


def check_sampling(rest: str, **options: Any) -> None:
    """Check what a spec says of how it is sampled; of the server nothing is asked.

    Raises:
        ConfigError: a value makes no sense.
    """
    Sampling(**{one.name: options[one.name] for one in fields(Sampling) if one.name in options})


@checked_by(check_sampling)
def from_spec(
    rest: str,
    *,
    problems: ProblemSet | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    stop: tuple[str, ...] = (),
    reasoning_effort: str | None = None,
    logprobs: bool = False,
    logprobs_kind: LogprobsKind | None = None,
    system: str = "",
    prices: str | None = None,
    key_env: str | None = None,
    concurrency: int = 16,
    timeout: float = 600.0,
    retries: int = 8,
) -> OpenAIPolicy:
    """Build the policy of a spec `openai:MODEL@URL,key=value,...`.

    Args:
        rest: the model, and behind an @ the URL of its server.
        problems: not used; a model needs no reference programs.
        temperature: and the others: as in `Sampling` and `OpenAIPolicy`.
        top_p: see there.
        max_tokens: see there.
        stop: see there.
        reasoning_effort: see there.
        logprobs: see there.
        logprobs_kind: see there.
        system: see there; between double quotes where it has commas.
        prices: a TOML file.
        key_env: see there.
        concurrency: see there.
        timeout: see there.
        retries: see there.

    Raises:
        ConfigError: the model is missing, or an option makes no sense.
        PolicyError: there is no key, and one is needed.
    """
    model, url = model_and_url(rest)
    sampling = Sampling(temperature, top_p, max_tokens, stop, reasoning_effort, logprobs, logprobs_kind)
    return OpenAIPolicy(
        model,
        url,
        sampling,
        system=system,
        prices=prices,
        key_env=key_env,
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
    )


def _name_of(turn: Turn) -> str:
    """Return what a turn is known by when it comes again."""
    whole = (turn.problem.id, turn.agent, turn.id, turn.seed, messages_text(turn.messages))
    return sha256(repr(whole).encode("utf-8", "surrogatepass")).hexdigest()


async def _caught(reply: Coroutine[Any, Any, Reply]) -> Reply | ServerError:
    try:
        return await reply
    except ServerError as error:
        return error


async def _ready(value: T) -> T:
    return value


def _said(refusal: Refusal) -> str:
    return f"{refusal.status}: {refusal.said}" if refusal.status else refusal.said


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain data with every text changed, keys of objects among them."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(one, change) for one in value]
    if isinstance(value, dict):
        return {change(name): _mapped(one, change) for name, one in value.items()}
    return value
