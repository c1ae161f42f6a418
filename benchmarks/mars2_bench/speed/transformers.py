"""What `TransformersPolicy` costs beside the same model called directly, and how true its log-probabilities are.

python -m mars2_bench.speed.transformers            # SmolLM2 on a CPU, some minutes; prints Markdown tables
python -m mars2_bench.speed.transformers --repeats 1 --tokens 8 --completions 8   # to see that it works

speed    tokens/s of CPU time and by the clock, ours and transformers' own `generate` (greedy, its fastest, and
sampling) on the same prompts, batch and reply lengths, nothing ending early; one after the other in each repeat,
medians over the repeats, and the median of the ratios within a repeat. The bar for "alike" is 0.95 of the faster one.
`mixed` are turns with unlike limits, more than fit a batch: ours refills, `generate` takes the same turns sorted into
batches that each run to their longest; tokens beyond a turn's limit do not count.
truth    nats a token: sampled log-probabilities against a teacher-forced pass over prompt and completion, float32.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean, median
from typing import Any, Final

import torch
from mars2_agents.policies.engine import engine
from mars2_agents.policies.sampling import Completion, Request, sample

from mars2_bench.command import run as run_command
from mars2_bench.speed.env_cost import table

TASK: Final = "Write a Python function that returns the sum of the squares of the even numbers in a list of integers. "
BAR: Final = 0.95

Timed = tuple[float, float]
"""Seconds of CPU time, seconds by the clock."""


def timed(call: Callable[[], Any]) -> Timed:
    """Return how long a call took."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def requests(tokenizer: Any, limits: Sequence[int]) -> list[Request]:
    """Return one request for each limit, with prompts of one length that differ in a word."""
    found = []
    for seed, limit in enumerate(limits):
        messages = [{"role": "user", "content": f"Problem {seed % 10}. " + TASK}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        found.append(Request(tuple(ids), seed, 0.8, 0.95, limit))
    return found


def ours(model: Any, asked: Sequence[Request], batch: int) -> list[Completion]:
    """Sample with our loop; nothing ends early."""
    return sample(model, asked, eos_ids=(), pad_id=2, batch_size=batch)


def plain(model: Any, asked: Sequence[Request], batch: int, **options: Any) -> None:
    """Call `generate` on the turns, sorted by limit, in batches that run to their longest."""
    sorted_by_limit = sorted(asked, key=lambda one: -one.max_new_tokens)
    for start in range(0, len(asked), batch):
        some = sorted_by_limit[start : start + batch]
        width = max(len(one.prompt) for one in some)
        ids = torch.tensor([[2] * (width - len(one.prompt)) + list(one.prompt) for one in some])
        mask = torch.tensor([[0] * (width - len(one.prompt)) + [1] * len(one.prompt) for one in some])
        out = model.generate(ids, attention_mask=mask, max_new_tokens=some[0].max_new_tokens, **options)
        assert out.shape[1] == width + some[0].max_new_tokens


def speeds(model: Any, tokenizer: Any, *, batch: int, tokens: int, repeats: int) -> list[list[str]]:
    """Return the rows of the table of speed."""
    alike = requests(tokenizer, [tokens] * batch)
    mixed = requests(tokenizer, [max(1, tokens * n // batch) for n in range(1, batch + 1) for _ in range(2)])
    sampling: dict[str, Any] = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "top_k": 0}
    rows = []
    for name, asked in (("alike", alike), ("mixed", mixed)):
        ways: dict[str, Callable[[], Any]] = {
            "generate, greedy": partial(plain, model, asked, batch, do_sample=False),
            "generate, sampling": partial(plain, model, asked, batch, **sampling),
            "ours": partial(ours, model, asked, batch),
        }
        spent: dict[str, list[Timed]] = {way: [] for way in ways}
        ways["ours"]()  # warm
        for _ in range(repeats):
            for way, call in ways.items():
                spent[way].append(timed(call))
        written = sum(one.max_new_tokens for one in asked)
        for way, times in spent.items():
            rates = [f"{written / median(one[kind] for one in times):.1f}" for kind in (0, 1)]
            ratios = [
                f"{median(a[kind] / b[kind] for a, b in zip(spent['generate, greedy'], times, strict=True)):.2f}"
                for kind in (0, 1)
            ]
            rows.append([f"{name}: {len(asked)} turns", way, *rates, *ratios])
    return rows


def truths(model: Any, tokenizer: Any, *, batch: int, tokens: int, completions: int) -> list[list[str]]:
    """Return the rows of the table of log-probabilities."""
    rows = []
    for top_p in (1.0, 0.9):
        asked = [replace(one, top_p=top_p) for one in requests(tokenizer, [tokens] * completions)]
        sampled: list[float] = []
        kept: list[float] = []
        forced: list[float] = []
        for request, done in zip(asked, ours(model, asked, batch), strict=True):
            with torch.no_grad():
                logits = model(torch.tensor([request.prompt + done.ids])).logits[0, len(request.prompt) - 1 : -1]
            tempered = torch.log_softmax(logits.double() / request.temperature, dim=-1)
            forced += tempered.gather(-1, torch.tensor(done.ids)[:, None])[:, 0].tolist()
            sampled += done.logprobs
            kept += torch.tensor(done.kept_mass).double().log().tolist()
        apart = [a - b for a, b in zip(sampled, forced, strict=True)]
        mended = [abs(a + m - b) for a, m, b in zip(sampled, kept, forced, strict=True)]
        means = [f"{fmean(map(abs, apart)):.1e}", f"{fmean(apart):+.4f}", f"{fmean(mended):.1e}", f"{max(mended):.1e}"]
        rows.append([f"{top_p}", f"{len(apart)}", *means])
    return rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="a checkpoint, as in hf:MODEL")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=24, help="of each reply")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--completions", type=int, default=200, help="of the table of truth")
    options = parser.parse_args()
    found = engine(options.model, device="cpu", dtype="float32")
    found.model.generation_config.eos_token_id = None  # so that replies have the lengths that are asked for
    found.model.generation_config.pad_token_id = 2
    size = {"batch": options.batch, "tokens": options.tokens}
    print(
        f"{found.name}, float32, {torch.get_num_threads()} threads, batch {options.batch}, {options.repeats} repeats\n"
    )
    heads = ["turns", "way", "tokens/s CPU", "tokens/s wall", f"CPU ratio (bar {BAR})", "wall ratio"]
    print(table("Speed", heads, speeds(found.model, found.tokenizer, repeats=options.repeats, **size)), flush=True)
    heads = ["top_p", "tokens", "mean abs(sampled - tempered)", "bias", "mean abs(sampled + log kept_mass - tempered)"]
    print(
        table(
            "Truth",
            [*heads, "its maximum"],
            truths(found.model, found.tokenizer, completions=options.completions, **size),
        )
    )
    return 0


if __name__ == "__main__":
    run_command(main)
