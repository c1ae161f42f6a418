"""An algorithm of your own: one function from finished trees to what each policy learns, trained like any other.

`early_worth_more` pays a right program the less, the more steps led to it, and compares each agent with itself. The
models are toys that know a few lines; a real one comes from `mars2_agents.policies.transformers.engine("smollm2")`.
"""

import torch
from mars2_agents.algorithms.by_policy import lessons
from mars2_agents.algorithms.objective import objective
from mars2_agents.learners.learner import Learner, Optimising
from mars2_agents.policies.transformers import TransformersPolicy
from mars2_agents.training.evaluating import HeldOut
from mars2_agents.training.settings import Settings, Student
from mars2_agents.training.trainer import train
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import mars2_env
from mars2_env.credit import Credit

WORDS = ["<s>", "</s>", "<unk>", *(f"print({number})" for number in range(6))]
TEMPLATE = "{% for m in messages %}<s>{{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}<s>{% endif %}"


def early_worth_more(trees, crew):
    """Return for each policy its samples with their advantages, and the loss that it learns them by."""
    early = Credit(credit=lambda tree: [node.score / node.depth for node in tree.nodes], scope="agent_in_tree")
    return lessons(trees, crew, early, objective("gspo", tis=2.0))


def toy_student(seed):
    """Return a policy that writes a line, and a learner that begins with the same weights."""
    words = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", chat_template=TEMPLATE)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(seed)
    acting = LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), bos_token_id=0, eos_token_id=1, **size))
    learning = LlamaForCausalLM(acting.config)
    learning.load_state_dict(acting.state_dict())
    policy = TransformersPolicy(acting, tokenizer, temperature=1.0, top_p=1.0, max_new_tokens=1)
    return Student(policy, Learner(learning, Optimising(lr=3e-2)))


def problem(number):
    """Return a problem that one line solves, whatever the input."""
    tests = {group: (mars2_env.TestCase(f"{group}\n", "3"),) for group in ("public", "scoring", "hidden")}
    return mars2_env.Problem(f"toy/{number}", f"Say {number}, but print 3.", **tests)


if __name__ == "__main__":
    problems = mars2_env.ProblemSet("toy", tuple(map(problem, range(6))), split="train")
    task = mars2_env.task(problems, agents=["coder", "fixer"], budget=8)
    team, students = {"coder_0": "first", "fixer_0": "second"}, {"first": toy_student(0), "second": toy_student(1)}
    settings, held_out = Settings(steps=8, problems=4, batch=8), HeldOut(["toy/4", "toy/5"], every=4, nodes=4)
    how = {"algorithm": early_worth_more, "settings": settings, "held_out": held_out}
    for report in train(task, team, students=students, out="runs/own_algorithm", **how):
        print(f"step {report.step}: solved {report.values['train/solve_rate']:.2f}", report.evaluation or "")
