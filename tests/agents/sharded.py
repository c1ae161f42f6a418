"""Two processes that train one learner; what they and a single process come to is written side by side.

python sharded.py FOLDER CASE...
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mars2_agents.algorithms.lesson import Scores
from mars2_agents.learners import losses
from mars2_agents.learners.adapting import frozen, lora
from mars2_agents.learners.following import follow, lead
from mars2_agents.learners.learner import Learner, Optimising
from mars2_agents.learners.sharding import Shards
from mars2_agents.learners.statistics import derivative
from mars2_agents.learners.updating import scores_of, update
from small_learners import LONGER, gspo, model
from torch.distributed.tensor import DTensor

from mars2_env import LogError

CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "full, checkpointing": {"checkpointing": True},
    "full, one head": {"tied": True},
    "full, bfloat16": {"precision": "bfloat16"},
    "lora": {"rank": 4},
    "lora, checkpointing": {"rank": 4, "checkpointing": True},
    "lora, bfloat16": {"rank": 4, "precision": "bfloat16"},
    "lora, base in bfloat16": {"rank": 4, "base": torch.bfloat16},
}


def learner(case: dict[str, Any], *, sharded: bool) -> tuple[Learner, list[Any]]:
    """A learner, and all parameters of its model and its reference."""
    net = model(tie_word_embeddings=case.get("tied", False), initializer_range=0.1)
    net = net.to(case.get("base", torch.float32))
    if "rank" in case:
        net = lora(net, rank=case["rank"], alpha=case["rank"])
        with torch.no_grad():  # an adapter that does something, so that both of its matrices have a gradient
            for name, one in net.named_parameters():
                if "lora_B" in name:
                    one.copy_(torch.randn(one.shape, generator=torch.Generator().manual_seed(len(name))) / 10)
    reference = None if "rank" in case else frozen(net)
    settings = Optimising(
        lr=1e-3, tokens=12, checkpointing=case.get("checkpointing", False), precision=case.get("precision", "float32")
    )
    made = Learner(net, settings, reference=reference, division=Shards("cpu") if sharded else None)
    return made, [*net.parameters(), *(() if reference is None else reference.parameters())]


def with_kl(scores: Scores) -> Any:
    assert scores.reference is not None
    kl = losses.reduced(losses.kl(scores.logprob, scores.reference, scores.mask), scores.mask, "token_mean")
    return gspo(scores) + 0.1 * kl


def whole(named: Any) -> dict[str, Any]:
    return {name: one.full_tensor() if isinstance(one, DTensor) else one.clone() for name, one in named}


def gradient(one: Learner) -> dict[str, Any]:
    """The whole gradient, cut to norm 1 as a step cuts it."""
    scores = scores_of(LONGER, one.score(LONGER), reference=one.score_reference(LONGER))
    _, weights = derivative(with_kl, scores)
    one.backward(LONGER, [row[: len(some.completion_ids)] for row, some in zip(weights, LONGER, strict=True)])
    found = whole((name, value.grad) for name, value in one.model.named_parameters() if value.grad is not None)
    norm = sum(float(value.square().sum()) for value in found.values()) ** 0.5
    return {name: value / max(norm, 1.0) for name, value in found.items()}


def apart(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    assert found.keys() == wanted.keys() and found
    return max(float((one.float() - wanted[name].float()).abs().max()) for name, one in found.items())


def compared(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What two processes and one come to: scores, a gradient, updates, and what each makes of the other's files."""
    (ours, parts), (alone, _) = learner(case, sharded=True), learner(case, sharded=False)
    pairs = zip(ours.score(LONGER), alone.score(LONGER), strict=True)
    scores = max(float((one - other).abs().max()) for one, other in pairs if len(one))
    found, wanted = gradient(ours), gradient(alone)
    step, step_alone = ours.step(), alone.step()
    ours.save(folder / "kept")
    ref = ours.export(folder / "out")
    report, report_alone = (update(one, LONGER, with_kl, reference=True, minibatches=2) for one in (ours, alone))
    resumed, _ = learner(case, sharded=False)
    resumed.load(folder / "kept")
    resumed.save(folder / f"again{dist.get_rank()}")
    dist.barrier()
    back, _ = learner(case, sharded=True)
    back.load(folder / "again0")
    update(back, LONGER, with_kl, reference=True, minibatches=2)
    return {
        "parts": len(parts),
        "sharded": sum(isinstance(one, DTensor) for one in parts),
        "share": sum(one.to_local().numel() for one in parts) / sum(one.numel() for one in parts),
        "scores": scores,
        "gradients": apart(found, wanted),
        "largest gradient": max(float(one.abs().max()) for one in wanted.values()),
        "grad_norm": abs(step.grad_norm - step_alone.grad_norm),
        "loss": abs(report.loss - report_alone.loss),
        "resumed": apart(whole(back.model.state_dict().items()), whole(ours.model.state_dict().items())),
        "versions": [ref.version, report.version, back.version],
    }


def led() -> dict[str, Any]:
    """An update that process 0 alone makes, the other doing what it is told; and a write that fails in both."""
    (ours, _), (alone, _) = learner({}, sharded=True), learner({}, sharded=False)
    found: dict[str, Any] = {}
    if dist.get_rank() == 0:
        with lead({"one": ours}) as learners:
            report = update(learners["one"], LONGER, with_kl, reference=True)
            found["led"] = abs(report.grad_norm - update(alone, LONGER, with_kl, reference=True).grad_norm)
    else:
        follow({"one": ours})
    found["version"] = ours.version
    try:
        ours.export(Path(__file__) / "no folder")
    except (OSError, LogError) as error:
        found["error"] = type(error).__name__
    return found


def main(rank: int, folder: Path, cases: list[str]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {name: led() if name == "led" else compared(CASES[name], folder / name) for name in cases}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    forking = multiprocessing.get_context("fork")  # what is imported is imported once
    both = [forking.Process(target=main, args=(rank, Path(sys.argv[1]), sys.argv[2:])) for rank in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    sys.exit(max(abs(one.exitcode or 0) for one in both))
