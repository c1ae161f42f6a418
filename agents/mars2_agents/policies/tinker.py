"""A policy that samples at a service that speaks Tinker's protocol, with weights that a learner there has trained.

    service = tinker.ServiceClient()
    policy = TinkerPolicy(service, "Qwen/Qwen3-8B", tokenizer)
    learner = mars2_agents.learners.tinker.begin(service, "Qwen/Qwen3-8B")
    train(..., students={"coder": Student(policy, learner)}, ...)

What the learner exports is an address, `tinker://...`, and `load_weights` opens a client of it: no weights pass here.

Source: the Python SDK of Tinker (github.com/thinking-machines-lab/tinker, 0.38): `SamplingClient.sample`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, Protocol

from mars2_agents.policies.chat_tokens import end_of_reply, fitted_prompt, reply_ids, with_system
from mars2_agents.policies.transformers import named_parent
from mars2_env.base.checks import real_number, text, whole_number
from mars2_env.base.extras import needed_by
from mars2_env.errors import PolicyError, PolicyUnavailableError
from mars2_env.types import Generation, Given, LogprobsKind, Reply, Turn

SEEDS: Final = 2**31
"""How many seeds the service tells apart."""

SCHEME: Final = "tinker://"


class Samples(Protocol):
    """What of a `tinker.SamplingClient` is used."""

    def sample(self, prompt: Any, num_samples: int, sampling_params: Any) -> Any:
        """Return a future; its result's `sequences` have `tokens`, `logprobs` and `stop_reason`."""
        ...


class Opens(Protocol):
    """What of a `tinker.ServiceClient` is used."""

    def create_sampling_client(self, model_path: str | None = None, base_model: str | None = None) -> Any:
        """Return a client that samples from a model."""
        ...


class Types(Protocol):
    """What of `tinker.types` is used: the classes of requests."""

    @property
    def ModelInput(self) -> Any:  # noqa: N802
        """The tokens of a sequence."""
        ...

    @property
    def SamplingParams(self) -> Any:  # noqa: N802
        """How a completion is sampled."""
        ...


class Delivered(Protocol):
    """Weights that a learner exported (`WeightsRef`)."""

    @property
    def path(self) -> str:
        """Where they lie."""
        ...

    @property
    def version(self) -> int:
        """Which they are."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """How a policy samples.

    Attributes:
        temperature: 0 is greedy. The learner there scores at temperature 1 alone, so what is to be learnt is sampled
            at 1.
        top_p: the probability kept.
        max_new_tokens: the most tokens of a reply.
        context: the most tokens of prompt and reply together.
        system: a text put behind the system message, which makes a role of a policy.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 384
    context: int = 32_768
    system: str = ""

    def __post_init__(self) -> None:
        where = "TinkerPolicy"
        real_number("temperature", self.temperature, least=0, where=where)
        real_number("top_p", self.top_p, above=0, most=1, where=where)
        whole_number("max_new_tokens", self.max_new_tokens, where=where)
        whole_number("context", self.context, least=2, where=where)
        text("system", self.system, where=where)


class TinkerPolicy:
    """Writes programs with a model at a service.

    Log-probabilities are those that the service tells. Their kind is known where a reply is sampled from the whole
    distribution, where all kinds are one; elsewhere it is None.

    Args:
        service: opens clients.
        base_model: the model's name at the service; it acts with this until weights are loaded.
        tokenizer: the model's, of transformers, with a chat template.
        settings: how to sample.
        types: the classes of requests; by default those of the package `tinker`.
        patience: the most seconds to wait for an answer.

    Raises:
        ExtraError: the package `tinker` is not installed, and no types are given.
        PolicyUnavailableError: the service does not answer, or with an error.
    """

    def __init__(
        self,
        service: Opens,
        base_model: str,
        tokenizer: Any,
        settings: Settings | None = None,
        *,
        types: Types | None = None,
        patience: float = 3600.0,
        **fields: Any,
    ) -> None:
        self.settings = replace(settings or Settings(), **fields)
        self._service = service
        self._base = base_model
        self._tokenizer = tokenizer
        self._end = end_of_reply(tokenizer)
        self._types = types or tinker_types("TinkerPolicy")
        self._patience = real_number("patience", patience, above=0, where="TinkerPolicy")
        self._client: Samples = opened(service.create_sampling_client(base_model=base_model), self._patience)
        self._path = ""
        self._version = 0

    def __repr__(self) -> str:
        return f"TinkerPolicy({self._base!r}, version={self._version})"

    @property
    def identity(self) -> str:
        """The model with the address of its weights, and how it samples."""
        return f"tinker:{self._base},weights={self._path or 'base'},{self.settings}"

    @property
    def gives(self) -> frozenset[Given]:
        """Its generations tell tokens and log-probabilities."""
        return frozenset({"token_ids", "logprobs", "token_counts"})

    @property
    def weights_version(self) -> int:
        """Of the weights that it acts with; 0 for those of the base."""
        return self._version

    def load_weights(self, ref: Delivered) -> None:
        """Act with weights that a learner at the service exported, from the next turn on.

        Raises:
            PolicyError: they do not lie at such a service.
            PolicyUnavailableError: the service does not answer, or with an error; those from before stay.
        """
        if not ref.path.startswith(SCHEME):
            raise PolicyError(f"load_weights({ref.path!r:.200}): {self!r} acts with weights at {SCHEME}... alone.")
        self._client = opened(self._service.create_sampling_client(model_path=ref.path), self._patience)
        self._path, self._version = ref.path, ref.version

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order; the service has all of them at a time."""
        client, version = self._client, self._version
        asked = [self._ask(turn) for turn in turns]
        futures = [
            client.sample(self._types.ModelInput.from_ints(list(ids)), 1, self._types.SamplingParams(**params))
            for ids, _, params in asked
        ]
        return [
            self._reply(turn, ids, cut, result(future, self._patience).sequences[0], version)
            for turn, (ids, cut, _), future in zip(turns, asked, futures, strict=True)
        ]

    def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
        """Return the tokens that the model is asked with for a turn."""
        return self._ask(turn)[0]

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a reply of this text, the one that ends it included."""
        return reply_ids(self._tokenizer, text)

    def _ask(self, turn: Turn) -> tuple[tuple[int, ...], int, dict[str, Any]]:
        """Return the prompt's tokens for a turn, how many it lost, and how to sample."""
        settings = self.settings
        # At least half of the context is for the prompt, however long a reply may be.
        limit = max(settings.context // 2, settings.context - settings.max_new_tokens)
        prompt = fitted_prompt(self._tokenizer, with_system(turn.messages, settings.system), limit=limit)
        params = {
            "max_tokens": min(settings.max_new_tokens, settings.context - len(prompt.ids)),
            "seed": turn.seed % SEEDS,
            "stop": [self._end],
            "temperature": settings.temperature,
            "top_p": settings.top_p,
        }
        return prompt.ids, prompt.cut, params

    def _reply(self, turn: Turn, prompt: tuple[int, ...], cut: int, sequence: Any, version: int) -> Reply:
        """Return the reply that a sampled sequence is."""
        settings = self.settings
        ids = tuple(sequence.tokens)
        written = ids[:-1] if ids and ids[-1] == self._end else ids
        said: str = self._tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        whole = settings.temperature == 1 and settings.top_p == 1
        kind: LogprobsKind | None = "sampled" if whole and sequence.logprobs is not None else None
        generation = Generation(
            prompt_ids=prompt,
            completion_ids=ids,
            logprobs=tuple(sequence.logprobs or ()),
            finish_reason=str(sequence.stop_reason),
            weights_version=version,
            logprobs_kind=kind,
            temperature=settings.temperature,
            top_p=settings.top_p,
            prompt_cut=cut,
        )
        return Reply(said, parent=named_parent(said) if turn.parent is None else None, generation=generation)


def tinker_types(what: str) -> Any:
    """Return the classes of requests of the package `tinker`.

    Args:
        what: what needs them, as a message begins.

    Raises:
        ExtraError: it is not installed.
    """
    with needed_by(what):
        return import_module("tinker.types")


def opened(client: Any, patience: float) -> Any:
    """Return a client, of which some versions of the package give a future."""
    return result(client, patience) if hasattr(client, "result") else client


def result(future: Any, patience: float) -> Any:
    """Wait for a future's result.

    Args:
        future: of the package.
        patience: the most seconds to wait.

    Raises:
        PolicyUnavailableError: there is none in time, or the service has failed.
    """
    try:
        return future.result(timeout=patience)
    except TimeoutError:
        raise PolicyUnavailableError(f"the service did not answer within {patience:g} s.") from None
    except Exception as error:  # each version of the package has errors of its own
        raise PolicyUnavailableError(f"the service has failed: {type(error).__name__}: {error!s:.500}") from error
