"""Every rule by which a program is found in a reply, compared, and quoted."""

from __future__ import annotations

import ast
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env.prompt import blocks, programs
from mars2_env.prompt.programs import MAX_READ, WORK, extract_program, fenced, fenced_blocks, normal_form, parse


@pytest.mark.parametrize(
    ("reply", "program"),
    [
        ("Sure:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```python\nx = 1\n```\nbetter:\n```python\nx = 2\n```", "x = 2\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("~~~py\nx = 1\n~~~", "x = 1\n"),
        ("````python\ns = '```'\n```\n````", "s = '```'\n```\n"),
        ("1. Like this:\n   ```python\n   def f():\n       return 1\n   ```", "def f():\n    return 1\n"),
        ("```python\r\nx = 1\r\n```\r\n", "x = 1\r\n"),
        ("```python\nx = 1\n```\nIt prints:\n```text\n1\n```", "x = 1\n"),
        ("```python\nx = 1\n```\n```python\n\n```", "x = 1\n"),
        ("```python\nx = 1\n```\nand then\n```python\nx = (", "x = 1\n"),
        ("cut short:\n```python\nx = 1\ny =", "x = 1\ny =\n"),
        ("<think>\n```python\nwrong = 1\n```\n</think>\n```python\nx = 1\n```", "x = 1\n"),
        ("```python\nwrong = 1\n```\n</think>```python\nx = 1\n```", "x = 1\n"),
        ("wrong = 1\n</think>\n```python\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1\n```\n<think>\n```python\nwrong = 1\n```", "x = 1\n"),
        ("print(1)", "print(1)\n"),
        ("def f(x):\n    return x", "def f(x):\n    return x\n"),
        ("def broken(:\n    return", "def broken(:\n    return\n"),
        ("import sys\nprint(sys.stdin.read(", "import sys\nprint(sys.stdin.read(\n"),
        ("\nx = int(input())\nprint(x)\n", "x = int(input())\nprint(x)\n"),
        ("I do not know.", None),
        ("sorry", None),
        ("42", None),
        ("", None),
        ("```python\n```", None),
        ("<think>print(1)", None),
        ("```text\nprint(1)\n```", "print(1)\n"),
        # other marks of thinking, and marks that are only spoken of
        ("[THINK]```python\nwrong = 1\n```[/THINK]\n```python\nx = 1\n```", "x = 1\n"),
        ("<reasoning>\n```python\nwrong = 1\n```\n</reasoning>\n```python\nx = 1\n```", "x = 1\n"),
        ("<seed:think>```python\nwrong = 1\n```", None),
        ("```python\nx = '</think>'\n```", "x = '</think>'\n"),
        ("It ends at `<think>`.\n```python\nx = 1\n```", "x = 1\n"),
        # replies that go on with a block which their prompt opened
        ("x = 1\n```\n", "x = 1\n"),
        ("\ndef f():\n    return 1\n```\n\nIt prints:\n```\n1\n```\n", "\ndef f():\n    return 1\n"),
        ("def broken(:\n```\n", "def broken(:\n"),
        ("import this:\n```\nx = 1\n```", "x = 1\n"),
        ("Solution: below\n```\nx = 1\n```", "x = 1\n"),
        ("Answer: none", None),
        ("x = 1\n```python\ny = 2\n```", "y = 2\n"),
    ],
)
def test_the_program_of_a_reply(reply: str, program: str | None) -> None:
    assert extract_program(reply) == program


@pytest.mark.parametrize(
    ("reply", "program"),
    [
        ("```python\ndef f():\n    return 1\n```\nUse:\n```python\nprint(f())\n```", "def f():\n    return 1\n"),
        ("```python\ndef f(): return 1\n```\n```python\ndef f(): return 2\n```", "def f(): return 2\n"),
        ("```python\nf = abs\n```\n```python\nprint(f(1))\n```", "f = abs\n"),
        ("```python\ndef g(): return 1\n```\n```python\nprint(f())\n```", "print(f())\n"),
    ],
)
def test_a_called_program_is_the_last_block_that_defines_the_function(reply: str, program: str) -> None:
    assert extract_program(reply, "f") == program


# What careful readers find in replies of real models

F = "`" * 3
P = "n = int(input())\nprint(n + n)\n"
B = f"{F}python\n{P}{F}"
ADD = "def f(x):\n    return x + 1\n"
DOC = 'def f(x):\n    """Add one.\n\n    ```python\n    f(1)\n    ```\n    """\n    return x + 1\n'
RAW = 'text = """\n```python\nx\n```\n~~~\n"""\nprint(text, input())\n'
THINKS = 's = """\n<think>\nx\n</think>\n"""\nprint(s, input())\n'
REPLIES: list[tuple[str, str, str | None]] = [
    # what follows the program
    ("output in a bare block", f"{B}\n\nFor 7 it prints:\n{F}\n14\n{F}\n", P),
    ("a call as output in a bare block", f"{B}\n{F}\nprint(14)\n{F}\n", P),
    ("an example of its use, named as Python", f"{B}\nFor example\n{F}python\nprint(7 + 7)\n{F}\n", P),
    ("a test of its own, named as Python", f"{B}\nTest:\n{F}python\nassert 7 + 7 == 14\n{F}\n", P),
    (
        "a walk through its lines",
        f"{B}\nHere\n{F}python\nn = int(input())\n{F}\nreads and\n{F}python\nprint(n + n)\n{F}\nprints.",
        P,
    ),
    ("a shell session", f"{B}\n{F}bash\n$ echo 7 | python a.py\n14\n{F}\n", P),
    ("a console session without a name", f"{B}\n{F}\n$ python3 sol.py < input.txt\n14\n{F}\n", P),
    ("a session with prompts", f"{B}\n{F}pycon\n>>> print(7 + 7)\n14\n{F}\n", P),
    ("a session with prompts, named python", f"{B}\n{F}python\n>>> print(int(input()))\n14\n{F}\n", P),
    (
        "a traceback that quotes the program",
        f'{B}\nElse:\n{F}\n  File "a.py", line 1\n    n = int(input())\nValueError: x\n{F}\n',
        P,
    ),
    ("the same in C++", f"{B}\nOr:\n{F}cpp\nint main() {{ int n; std::cin >> n; }}\n{F}\n", P),
    ("JSON that is an example", f'{B}\n{F}json\n{{"input": 7}}\n{F}\n', P),
    ("an unfinished second block", f"{B}\nor shorter:\n{F}python\nn = int(inp", P),
    ("a stray fence", f"{B}\n{F}\n", P),
    ("a stray fence and words", f"{B}\n{F}\nHope that helps!\n", P),
    # what is glued to a fence
    ("an end token", f"{B}<|im_end|>", P),
    ("an end token after a space", f"{B} </s>", P),
    ("an end token on a line of its own", f"{B}\n<|eot_id|>\n", P),
    ("two end tokens and padding", f"{B}<|im_end|><|endoftext|><pad><pad>", P),
    ("an end token inside an open block", f"{F}python\n{P}<|im_end|>", P),
    ("an end token behind code", f"{P[:-1]}<end_of_turn>\n", P),
    ("tokens in front", f"<s><|start_header_id|>assistant<|end_header_id|>\n\n{P}</s>", P),
    ("the next turn, made up", f"{B}<|im_end|>\n<|im_start|>user\nNow:\n{F}python\nprint(input())\n{F}<|im_end|>", P),
    ("words behind the closing fence", f"{F}python\n{P}{F}This doubles n.\n\nDone.", P),
    ("words behind it, and another block", f"{F}python\n{P}{F} It prints\n{F}\n14\n{F}", P),
    ("the fence behind the last line of code", f"{F}python\n{P[:-1]}{F}\nIt doubles.", P),
    ("the fence and a token behind the last line", f"{F}python\n{P[:-1]}{F}<|im_end|>", P),
    ("emphasis around the fences", f"**{F}python**\n{P}**{F}**\n", P),
    (
        "code behind the tag",
        f"{F}python import sys\nprint(sys.stdin.read())\n{F}",
        "import sys\nprint(sys.stdin.read())\n",
    ),
    # how a fence opens
    ("behind words", f"Here is the code: {F}python\n{P}{F}\nDone.", P),
    ("behind words without a tag", f"Here is the code: {F}\n{P}{F}\nDone.", P),
    ("words that speak of a fence", f"I put it in a {F}python block, as asked.\n{B}\n", P),
    ("a bullet", f"* {F}python\n  n = int(input())\n  print(n + n)\n  {F}\n", P),
    ("a bullet, its code not indented", f"- {F}python\n{P}{F}\n", P),
    ("number and bracket", f"2) {F}python\n   n = int(input())\n   print(n + n)\n   {F}\n", P),
    ("a list in a list", f"1. a\n   - {F}python\n     n = int(input())\n     print(n + n)\n     {F}\n", P),
    ("a quote", f"> So:\n> {F}python\n> n = int(input())\n> print(n + n)\n> {F}\n> Done.", P),
    ("a quote in a quote", f">> {F}python\n>> n = int(input())\n>> print(n + n)\n>> {F}\n", P),
    ("a quote that marks only its fences", f"> {F}python\n{P}> {F}\n", P),
    ("a soft hyphen and a word joiner in front", f"\u00ad\u2060{F}python\n{P}{F}\n", P),
    ("a heading", f"### Solution\n{B}", P),
    ("a table cell", f"| {F}python\n{P}{F}\n", P),
    ("tilde fences", f"~~~python\n{P}~~~", P),
    ("a fence of five, a fence of three", f"`````python\n{P}{F}\n", P),
    ("indented, tabs", f"\t{F}python\n\tn = int(input())\n\tprint(n + n)\n\t{F}", P),
    ("the code indented as a whole", f"{F}python\n    n = int(input())\n    print(n + n)\n{F}", P),
    ("never closed, then another", f"{F}python\nx = 1\n{F}python\n{P}{F}", P),
    ("closed by none", f"So:\n{F}python\n{P}", P),
    ("a whole reply in markdown", f"{F}markdown\n# Solution\n{B}\n{F}\n", P),
    ("on one line", f"Use {F}python print(int(input()) * 2){F}.", "print(int(input()) * 2)\n"),
    ("Windows lines", f"So:\r\n{F}python\r\nprint(7)\r\n{F}\r\nand\r\n{F}\r\n7\r\n{F}\r\n", "print(7)\r\n"),
    ("old Mac lines in two blocks", f"{F}python\rprint(7)\r{F}\r{F}\r7\r{F}\r", "print(7)\n"),
    # tags
    *[
        (f"the tag {tag!r}", f"{F}{tag}\n{P}{F}\nOut:\n{F}\n14\n{F}\n", P)
        for tag in (
            "python3",
            "Python",
            "PYTHON",
            " py",
            "python3.11",
            "py title=x",
            "python:main.py",
            "{.python .numberLines}",
            "{python}",
            "python {linenos=true}",
            "main.py",
            "python, main.py",
            "lang=python",
            "language-python",
            "pypy3",
            "tool_code",
            "Python3 ",
            "python main.py",
            'python linenums="1"',
        )
    ],
    # several programs
    ("two versions", f"{F}python\nprint(input())\n{F}\nBetter:\n{B}\n", P),
    (
        "wait",
        f"{F}python\nprint(int(input()))\n{F}\nWait, it has to be doubled:\n{F}\n{P}{F}\n",
        "print(int(input()))\n",
    ),
    ("a last one that does not parse", f"{B}\nShorter:\n{F}python\nprint((int(input()) * 2)\n{F}\n", P),
    ("a bare program and a broken one", f"{F}\n{P}{F}\n{F}python\nprint((int(input())\n{F}\n", P),
    (
        "a function and the lines that call it",
        f"First\n{F}python\ndef twice(n):\n    return 2 * n\n{F}\nThen\n{F}python\nprint(twice(int(input())))\n{F}",
        "def twice(n):\n    return 2 * n\nprint(twice(int(input())))\n",
    ),
    (
        "the lines that call it first",
        f"{F}python\nprint(twice(int(input())))\n{F}\nwith\n{F}python\ndef twice(n):\n    return 2 * n\n{F}",
        "def twice(n):\n    return 2 * n\nprint(twice(int(input())))\n",
    ),
    # fences and marks inside programs
    ("fences in a text of the program", f"{F}python\n{RAW}{F}\nDone.", RAW),
    ("fences in a text, another block behind", f"{F}python\n{RAW}{F}\nIt prints:\n{F}\nx\n{F}\n", RAW),
    ("a fence in a comment", f"{F}python\n# ends with {F}\n{P}{F}\n", f"# ends with {F}\n{P}"),
    ("a fence in quotes", f"{F}python\ns = '{F}'\n{P}{F}\n", f"s = '{F}'\n{P}"),
    ("marks of thinking on lines of a text", f"{F}python\n{THINKS}{F}\n", THINKS),
    ("the same without fences", THINKS, THINKS),
    (
        "a mark in a comment after thinking",
        f"<think>hm</think>{F}python\nprint(input())  # no </think> here\n{F}",
        "print(input())  # no </think> here\n",
    ),
    ("a mark in words behind it", f"{B}\nIt drops all up to </think> first.\n", P),
    ("a mark in words, in backticks", f"{B}\nIt drops all up to `</think>`.\n", P),
    ("a mark in words that begins them", f"{B}\n`<think>` is dropped.\n", P),
    ("thinking in capitals", f"<THINK>\n{F}python\nx\n{F}\n</THINK>\n{B}", P),
    ("a fence left open in thinking", f"<think>\n{F}python\nwrong = 1\n</think>\n{B}", P),
    ("the same, begun in the prompt", f"Let me see\n{F}python\nwrong = 1\n</think>\n\n{B}", P),
    ("thinking that ends behind a word", f"hm, right.</think>The program:\n{B}", P),
    ("thinking that never ends", f"{B}\n<think>\nor\n{F}python\nprint(input())\n{F}\n", P),
    (
        "thinking that speaks of its own mark",
        f"<think>I end with </think> later.\n{F}python\nx=1\n{F}\n</think>\n{B}",
        P,
    ),
    (
        "channels",
        f"<|channel|>analysis<|message|>{F}python\nprint(input())\n{F}<|end|><|start|>assistant<|channel|>final<|message|>{B}<|return|>",
        P,
    ),
    (
        "entities",
        f"{F}python\nif int(input()) &lt; 3:\n    print(&quot;a&quot;)\n{F}",
        'if int(input()) < 3:\n    print("a")\n',
    ),
    (
        "entities that are meant",
        f"{F}python\nprint(input().replace('&', '&amp;'))\n{F}",
        "print(input().replace('&', '&amp;'))\n",
    ),
    # no fence, or what is no program by itself
    ("JSON", '{"thought": "double it", "code": "n = int(input())\\nprint(n + n)\\n"}', P),
    ("JSON with a fenced program", '{"answer": "```python\\nn = int(input())\\nprint(n + n)\\n```"}', P),
    ("JSON in a block", f'{F}json\n{{"code": "n = int(input())\\nprint(n + n)"}}\n{F}', P),
    ("a session alone", f"{F}pycon\n>>> n = int(input())\n>>> print(n + n)\n14\n{F}", P),
    ("a diff alone", f"{F}diff\n@@ -1,2 +1,2 @@\n n = int(input())\n-print(n)\n+print(n + n)\n{F}", P),
    ("words around code", f"Sure, this works:\n\n{P}\nIt doubles n.\n", P),
    ("words around, a name and a colon", f"{P}\nExplanation: n is doubled.", P),
    ("one word behind code", f"{P}\nDone", P),
    ("a note that parses", f"{P}\nComplexity: O(n)", P),
    ("an answer in tags", f"I read and double.\n<answer>\n{P}</answer>", P),
    ("an answer in tags, stopped at its end", f"I read and double.\n<answer>\n{P}", P),
    ("a fence in tags", f"<answer>{B}</answer>", P),
    (
        "HTML",
        '<pre><code class="language-python">if int(input()) &lt; 3:\n    print(1)\n</code></pre>',
        "if int(input()) < 3:\n    print(1)\n",
    ),
    ("a listing of LaTeX", f"\\begin{{lstlisting}}[language=Python]\n{P}\\end{{lstlisting}}", P),
    ("a token that begins code", f"<|python_tag|>{P}<|eom_id|>", P),
    ("a draft in a block, the answer in tags", f"{F}python\nprint(input())\n{F}\n<answer>\n{P}</answer>", P),
    ("the opening fence is missing, words in front", f"So:\n\n{P}{F}\nDone.", P),
    ("the opening fence is missing, glued", f"{P[:-1]}{F}", P),
    ("code outside, output in a block", f"{P}\nOutput:\n{F}\n14\n{F}\n", P),
    ("three quotes for a fence", f"'''python\n{P}'''", P),
    ("the tag on the block's first line", f"{F}\npython\n{P}{F}\n", P),
    ("what a browser copies", f"python\nCopy code\n{P}", P),
    ("a tag without fences", f"python\n{P}", P),
    ("an indented block", "So:\n\n    n = int(input())\n    print(n + n)\n\nDone.", P),
    ("a quoted program", "So:\n\n> n = int(input())\n> print(n + n)\n", P),
    (
        "a comprehension at the end",
        "[print(2 * int(x)) for x in input().split()]",
        "[print(2 * int(x)) for x in input().split()]\n",
    ),
    (
        "a chat's markup as text of the program",
        f'{F}python\nt = """<|im_end|>\n<|im_start|>user\n"""\nprint(t, input())\n{F}',
        't = """<|im_end|>\n<|im_start|>user\n"""\nprint(t, input())\n',
    ),
    ("a space in front, as tokenizers put it", " " + P, P),
    ("a space in front, in a block of the prompt", " " + P + F, P),
    ("words alone", "I cannot solve this: it needs more thought, for example about x = 5.\nSorry.", None),
    ("words with a call", "It runs in\nO(1)\ntime.", None),
    ("a shell's line alone in words", "Run python a.py and see.", None),
    ("an entire block of words", f"{F}\nI do not know.\n{F}", "I do not know.\n"),
]
CALLED: list[tuple[str, str, str]] = [
    ("a docstring with a fence", f"{F}python\n{DOC}{F}\n", DOC),
    ("a docstring with a fence, then its use", f"{F}python\n{DOC}{F}\nUse:\n{F}python\nf(1)\n{F}\n", DOC),
    (
        "a docstring with many fences",
        f"{F}python\n{DOC.replace('f(1)', 'f(1)' + chr(10) + '    ```' + chr(10) + '    ```')}{F}",
        DOC.replace("f(1)", "f(1)" + chr(10) + "    ```" + chr(10) + "    ```"),
    ),
    ("bare definition, tagged example", f"{F}\n{ADD}{F}\n{F}python\nprint(f(1))\n{F}", ADD),
    (
        "tests that import it",
        f"{F}python\n{ADD}{F}\n{F}python\nfrom main import f\n\ndef test_f():\n    assert f(1) == 2\n{F}",
        ADD,
    ),
    (
        "a class with the method",
        f"{F}python\nclass Solution:\n    def f(self, x):\n        return x + 1\n{F}\n"
        f"{F}python\nprint(Solution().f(1))\n{F}",
        "class Solution:\n    def f(self, x):\n        return x + 1\n",
    ),
    (
        "helper, function",
        f"{F}python\ndef g(x):\n    return x\n{F}\n{F}python\ndef f(x):\n    return g(x) + 1\n{F}",
        "def g(x):\n    return x\ndef f(x):\n    return g(x) + 1\n",
    ),
    (
        "function, helper",
        f"{F}python\ndef f(x):\n    return g(x) + 1\n{F}\n{F}python\ndef g(x):\n    return x\n{F}",
        "def g(x):\n    return x\ndef f(x):\n    return g(x) + 1\n",
    ),
    (
        "a helper's own helper",
        f"{F}python\nN = 1\n{F}\n"
        f"{F}python\ndef g(x):\n    return x + N\n{F}\n{F}python\ndef f(x):\n    return g(x)\n{F}",
        "N = 1\ndef g(x):\n    return x + N\ndef f(x):\n    return g(x)\n",
    ),
    (
        "a helper with a test of its own",
        f"{F}python\ndef g(x):\n    return x\nassert g(1) == 2\nprint(g(1))\n{F}\n"
        f"{F}python\ndef f(x):\n    return g(x) + 1\n{F}",
        "def g(x):\n    return x\n\n\ndef f(x):\n    return g(x) + 1\n",
    ),
    (
        "imports, function",
        f"{F}python\nfrom math import isqrt\n{F}\n{F}python\ndef f(x):\n    return isqrt(x)\n{F}",
        "from math import isqrt\ndef f(x):\n    return isqrt(x)\n",
    ),
    (
        "a whole version again needs nothing",
        f"{F}python\ndef g(x):\n    return x\n{F}\n"
        f"{F}python\ndef g(x):\n    return 2 * x\ndef f(x):\n    return g(x)\n{F}",
        "def g(x):\n    return 2 * x\ndef f(x):\n    return g(x)\n",
    ),
    (
        "a correction that uses the first one's helper",
        f"{F}python\ndef g(x):\n    return x\ndef f(x):\n    return g(x)\n{F}\n"
        f"Wait:\n{F}python\ndef f(x):\n    return g(x) + 1\n{F}",
        "def g(x):\n    return x\ndef f(x):\n    return g(x)\ndef f(x):\n    return g(x) + 1\n",
    ),
    ("words, code, words", f"Here is the function:\n\n{ADD}\nIt adds one.", ADD),
    ("words, code, an example", f"Here is the function:\n\n{ADD}\nExample: f(1) gives 2", ADD),
    (
        "helper and function without fences",
        "First a helper:\n\ndef g(x):\n    return x\n\nThen the function:\n\ndef f(x):\n    return g(x) + 1\n",
        "def g(x):\n    return x\ndef f(x):\n    return g(x) + 1\n",
    ),
    ("a lambda", f"{F}python\nf = lambda x: x + 1\n{F}\n{F}python\nprint(f(2))\n{F}", "f = lambda x: x + 1\n"),
    ("a broken last version", f"{F}python\n{ADD}{F}\n{F}python\ndef f(x:\n    return\n{F}", ADD),
    (
        "only a broken one, and its use",
        f"{F}python\ndef f(x:\n    return\n{F}\n{F}python\nprint(f(1))\n{F}",
        "def f(x:\n    return\n",
    ),
    ("cut in the middle, an earlier whole one", f"{F}python\n{ADD}{F}\nFaster:\n{F}python\ndef f(x):\n    y = x", ADD),
]


@pytest.mark.parametrize(("reply", "program"), [row[1:] for row in REPLIES], ids=[row[0] for row in REPLIES])
def test_a_careful_reader_finds_the_program(reply: str, program: str | None) -> None:
    assert extract_program(reply) == program


@pytest.mark.parametrize(("reply", "program"), [row[1:] for row in CALLED], ids=[row[0] for row in CALLED])
def test_a_careful_reader_finds_the_function(reply: str, program: str) -> None:
    assert extract_program(reply, "f") == program


@pytest.mark.parametrize("name", ["f.*", "[f", "\\"])
def test_the_name_of_a_function_is_no_pattern(name: str) -> None:
    assert extract_program(f"{F}python\n{ADD}{F}\n{F}python\nprint(1)\n{F}", name) == "print(1)\n"


HOSTILE: dict[str, Callable[[int], str]] = {
    "a run of backticks": lambda n: "`" * n,
    "fences": lambda n: (F + "\n") * (n // 4),
    "openers": lambda n: (F + "python\nx = 1\n") * (n // 16),
    "strings left open": lambda n: (F + "python\n'''\n" + F + "\n") * (n // 18),
    "one string left open": lambda n: F + "python\n'''\n" + (F + "\nx\n") * (n // 6),
    "ever shorter fences": lambda n: "".join("`" * k + "\n" for k in range(int(n**0.5), 2, -1)) + "~~~x\n" * (n // 10),
    "fences behind code": lambda n: F + "python\n" + ("x=1" + F + "\n") * (n // 7),
    "marks of thinking": lambda n: F + "python\n" + "</think>\n" * (n // 9),
    "quote marks": lambda n: ("> " * 50 + F + "\n") * (n // 104),
    "code without fences": lambda n: "x = y z\n" * (n // 8),
    "functions without bodies": lambda n: "def f(x):\n" * (n // 10),
    "blocks that need each other": lambda n: "".join(
        f"{F}python\ndef f{i}():\n    f{i + 1}()\n{F}\n" for i in range(n // 45)
    ),
    "tags": lambda n: "<code>def f(): 0\n</code>" * (n // 23),
    "tokens": lambda n: "</s>" * (n // 4),
    "indented lines": lambda n: "    x y\n" * (n // 8),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_hostile_reply_costs_is_linear_in_its_length(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted are the characters given to Python's parser and the fences that are looked at as the end of a block."""
    parsed: list[int] = []
    looked: list[None] = []
    closes, tree = blocks.Fence.may_close, programs.syntax_tree

    def counted(self: blocks.Fence, opening: blocks.Fence, length: int) -> bool:
        looked.append(None)
        return closes(self, opening, length)

    def parse_counted(source: str) -> Any:
        parsed.append(len(source))
        return tree(source)

    monkeypatch.setattr(blocks.Fence, "may_close", counted)
    monkeypatch.setattr(programs, "syntax_tree", parse_counted)
    reply = HOSTILE[kind](40_000)
    for defines in (None, "f"):
        parsed.clear()
        looked.clear()
        extract_program(reply, defines)
        assert sum(parsed) <= WORK * len(reply) + 1000
        assert len(looked) <= 80 * (reply.count(F) + reply.count("~~~"))


@pytest.mark.parametrize(
    "reply", ["(" * 50_000, "-" * 100_000 + "1", "x = 9" * 40_000, "a\0b", "\ud800 = 1", "'" * 9999]
)
def test_hostile_replies_are_parsed_without_harm(reply: str) -> None:
    extract_program(reply)
    normal_form(reply)


def test_programs_that_differ_in_layout_and_comments_are_equal() -> None:
    assert normal_form("x=1 # one\n") == normal_form("x = 1\n\n")
    assert normal_form("x = 1") != normal_form("x = 2")
    assert normal_form("x = 1") != normal_form("x = 1.0") != normal_form("x = True") != normal_form("x = '1'")
    assert normal_form("[a, [b]]") != normal_form("[a, b, []]")
    assert normal_form("x = (") == normal_form("x = (")
    assert normal_form("x = (") != normal_form("x = ( ")


@given(st.text(alphabet="`~ab\n", max_size=80))
def test_nothing_inside_a_fence_closes_it(text: str) -> None:
    block = fenced(text, "python")
    ((tag, body, closed),) = fenced_blocks(block)
    assert (tag, closed) == ("python", True)
    assert body in (text, text + "\n")


@given(st.text(alphabet="`~<>/think pyho\n=1", max_size=120))
def test_any_reply_has_a_program_or_none(reply: str) -> None:
    found = extract_program(reply)
    assert found is None or found.strip()


def test_programs_that_break_printers_of_syntax_trees_have_a_normal_form() -> None:
    huge = "x = 0x" + "f" * 5000
    assert normal_form(huge) == normal_form(huge + "  # again")
    assert normal_form(huge) != normal_form(huge + "0")
    nested = "x = " + "(" * 90 + "-" * 300 + "1" + ")" * 90
    assert normal_form(nested) == normal_form(nested.replace("(", "( "))


def test_equal_trees_and_no_others_have_equal_normal_forms() -> None:
    texts = "x = 1|x = 1.0|x = True|x = '1'|x = b'1'|x = [1]|x = (1,)|x = 1,|f(a, *b)|f(*a, b)|[]|[[]]|[[], []]|x: int"
    texts += "|def f(a, /, b): 0|def f(a, b, /): 0|def f(a, *, b): 0|x: int = 0"
    programs = texts.split("|")
    forms = {text: normal_form(text) for text in programs}
    for one in programs:
        for other in programs:
            same = ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
            assert (forms[one] == forms[other]) == same, (one, other)


def test_threads_that_judge_side_by_side_never_parse_at_once() -> None:
    """Python 3.11 raises a SystemError where they do, at times (CPython's issue 106905)."""
    both, met, real = Barrier(2), [], ast.parse

    def slow(*given: Any, **options: Any) -> Any:
        try:
            both.wait(0.05)
            met.append(given)
        except BrokenBarrierError:
            both.reset()
        return real(*given, **options)

    with pytest.MonkeyPatch.context() as patched, ThreadPoolExecutor(3) as threads:
        patched.setattr(ast, "parse", slow)
        trees = list(threads.map(parse, [f"x = {number}" for number in range(3)]))
    assert all(tree is not None for tree in trees)
    assert met == []


def test_of_a_very_long_reply_the_end_is_read() -> None:
    thought = "<think>" + "hm, " * MAX_READ + "</think>\n"
    assert extract_program(thought + "```python\nprint(1)\n```") == "print(1)\n"
    endless = extract_program("```python\n" + "x = 1\n" * MAX_READ + "```")
    assert endless is None or len(endless) <= MAX_READ
