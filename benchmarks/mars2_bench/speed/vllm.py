"""vLLM behind `VLLMPolicy`: are its log-probs those of the model, and what does the policy cost beside the server?

    MARS2_VLLM_PYTHON=.vllm/bin/python python -m mars2_bench.speed.vllm     # SmolLM2 on a CPU, about ten minutes
    python -m mars2_bench.speed.vllm --quick                                # to see that it works

agreement    the processed log-probs of 200 completions (float32, temperature 0.8, top-p 1) against a teacher-forced
             forward pass of the same checkpoint with transformers; the mean absolute difference is at most 1e-4 nats
top-p bias   of completions at top-p 0.9: how far the log-probs that were sampled from lie above those of the whole
             vocabulary, in nats a token: what a learner gets wrong that takes the one for the other
throughput   tokens a second of turns through the policy, as a rollout asks, against the same requests, laid out
             beforehand, sent to the same server by a plain loop; in turn, several times; the ratio is at least 0.95
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import mean, median
from typing import Any, Final

from mars2_agents import ServerOptions, VLLMPolicy, VLLMServer
from mars2_agents.policies.smollm2 import checkpoint, offline, without_bars
from mars2_agents.policies.vllm_engine import Request
from mars2_agents.policies.vllm_http import GENERATE, HTTPEngine

from mars2_bench.command import run as run_command
from mars2_env.base.keys import seed as keyed
from mars2_env.types import Generation, Limits, PublicView, Reply, Stdin, Turn

TEMPERATURE: Final = 0.8
MOST_DIFFERENCE: Final = 1e-4
LEAST_RATIO: Final = 0.95
TASKS: Final = (
    "adds two numbers", "reverses a string", "sorts a list", "finds the largest number", "counts vowels",
    "checks for a palindrome", "computes a factorial", "merges two lists", "removes duplicates", "squares each number",
)  # fmt: skip


def turns(count: int) -> list[Turn]:
    """Return turns with short prompts, each with a seed of its own."""
    found = []
    for number in range(count):
        text = f"Write a Python function that {TASKS[number % len(TASKS)]}."
        view = PublicView(f"bench/{number}", text, Stdin(), (), "", Limits())
        found.append(Turn(0, "coder_0", view, keyed("bench", number), ({"role": "user", "content": text},), 0, (0,)))
    return found


def made(replies: Sequence[Reply]) -> list[Generation]:
    """Return what was generated."""
    return [reply.generation for reply in replies if reply.generation is not None]


def tempered(place: str, generations: Sequence[Generation], temperature: float) -> list[list[float]]:
    """Return the log-probs over the whole vocabulary, at a temperature, of every completion token, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    with offline(), without_bars():
        model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    found = []
    with torch.inference_mode():
        for one in generations:
            ids = torch.tensor([[*one.prompt_ids, *one.completion_ids]])
            logits = model(ids).logits[0, len(one.prompt_ids) - 1 : -1]
            logprobs = (logits / temperature).log_softmax(-1)
            chosen = torch.tensor(one.completion_ids)
            found.append(logprobs.gather(1, chosen[:, None])[:, 0].tolist())
    return found


def differences(generations: Sequence[Generation], others: Sequence[Sequence[float]]) -> list[float]:
    """Return, for each token of all completions, its log-prob less the other."""
    return [a - b for one, row in zip(generations, others, strict=True) for a, b in zip(one.logprobs, row, strict=True)]


async def through_policy(policy: VLLMPolicy, asked: Sequence[Turn]) -> int:
    """Ask a policy for all turns at once, and return how many tokens came."""
    replies = await asyncio.gather(*(policy.generate(turn, priority=0) for turn in asked))
    return sum(len(one.completion_ids) for one in made(replies))


async def plainly(server: VLLMServer, bodies: Sequence[dict[str, Any]]) -> int:
    """Send all requests at once by the plainest loop, and return how many tokens came."""
    import httpx2

    transport = httpx2.AsyncHTTPTransport(uds=server.address.socket, limits=httpx2.Limits(max_connections=None))
    async with httpx2.AsyncClient(transport=transport, base_url="http://vllm", timeout=None) as client:

        async def ask(body: dict[str, Any]) -> int:
            found = await client.post(GENERATE, json=body)
            return len(json.loads(found.content)["choices"][0]["token_ids"])

        return sum(await asyncio.gather(*(ask(body) for body in bodies)))


def rate(ask: Callable[[], Awaitable[int]]) -> float:
    """Return tokens a second."""

    async def timed() -> float:
        began = time.perf_counter()
        tokens = await ask()
        return tokens / (time.perf_counter() - began)

    return asyncio.run(timed())


def bodies_of(engine: HTTPEngine, requests: Sequence[Request]) -> list[dict[str, Any]]:
    """Return requests as they are sent."""
    return [engine._body(request, "bench") for request in requests]


def main() -> int:
    """Run the benchmark and print what it found; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--completions", type=int, default=200, help="of the agreement")
    parser.add_argument("--tokens", type=int, default=16, help="the most of a completion there")
    parser.add_argument("--rounds", type=int, default=5, help="of the throughput")
    parser.add_argument("--quick", action="store_true", help="as few of each as there can be")
    given = parser.parse_args()
    count, rounds = (8, 1) if given.quick else (given.completions, given.rounds)
    tokens, batch, reply = (6, 4, 8) if given.quick else (given.tokens, 32, 32)

    place = str(checkpoint())
    options = ServerOptions(place, kind="cpu", max_model_len=512, max_num_seqs=8)
    with VLLMServer(options) as server:
        engine = HTTPEngine(server)
        whole = VLLMPolicy(engine, temperature=TEMPERATURE, top_p=1.0, max_new_tokens=tokens)
        sampled = made(whole.act(turns(count)))
        cut = VLLMPolicy(engine, temperature=TEMPERATURE, top_p=0.9, max_new_tokens=tokens)
        biased = made(cut.act(turns(max(8, count // 4))))

        policy = VLLMPolicy(engine, temperature=TEMPERATURE, top_p=1.0, max_new_tokens=reply)
        asked = turns(batch)
        bodies = bodies_of(engine, [policy.request(turn)[0] for turn in asked])
        rates: list[tuple[float, float]] = []
        for number in range(rounds):
            ways = [lambda: plainly(server, bodies), lambda: through_policy(policy, asked)]
            first, second = [rate(way) for way in (ways if number % 2 == 0 else reversed(ways))]
            rates.append((first, second) if number % 2 == 0 else (second, first))
        engine.close()

    found = differences(sampled, tempered(place, sampled, TEMPERATURE))
    bias = differences(biased, tempered(place, biased, TEMPERATURE))
    apart = mean(map(abs, found))
    ratio = median(ours for _, ours in rates) / median(plain for plain, _ in rates)
    worst = max(map(abs, found))
    print(f"| agreement of {len(sampled)} completions, {len(found)} tokens | mean {apart:.1e}, max {worst:.1e} |")
    print("|---|---|")
    print(f"| bias of top-p 0.9, {len(biased)} completions, {len(bias)} tokens | {mean(bias):+.3f} nats a token |")
    for plain, ours in rates:
        print(f"| tokens a second: plain loop, policy | {plain:.1f}, {ours:.1f} |")
    print(f"| ratio of the medians | {ratio:.3f} |")
    missed = [f"mean difference {apart:.1e} > {MOST_DIFFERENCE:.0e}"] * (apart > MOST_DIFFERENCE)
    missed += [f"ratio {ratio:.3f} < {LEAST_RATIO}"] * (ratio < LEAST_RATIO)
    print(
        "\n".join(missed) or f"bars kept: at most {MOST_DIFFERENCE:.0e} nats, at least {LEAST_RATIO} of the plain loop"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    run_command(main)
