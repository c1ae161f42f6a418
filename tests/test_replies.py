"""Replies of many kinds, as models really write them, and the program that a careful reader takes out of each."""

from __future__ import annotations

import pytest

from mars2_env.prompt import extract_program

F = "`" * 3
P = "n = int(input())\nprint(n + n)\n"
B = f"{F}python\n{P}{F}"
ADD = "def f(x):\n    return x + 1\n"
BA = f"{F}python\n{ADD}{F}"

# what it is, the reply, the function that the problem calls, the program
REPLIES: list[tuple[str, str, str | None, str | None]] = [
    (
        "double wait in same tag",
        f"{F}python\nprint(int(input())*3)\n{F}\nWait, that is triple.\n{B}\n\nThis is final.",
        None,
        P,
    ),
    (
        "think then two code",
        f"<think>\nfoo\n</think>\n\n# Approach\n\n1. read\n2. double\n\n{B}\n\n## Complexity\n\n- O(1)",
        None,
        P,
    ),
    ("no newline at close", f"{F}python\n{P}{F}\n{F}", None, P),
    ("pycon f", f"{BA}\n\n{F}python\n>>> f(1)\n2\n{F}", "f", ADD),
    (
        "doctests in docstring",
        f'{F}python\ndef f(x):\n    """\n    >>> f(1)\n    2\n    """\n    return x + 1\n{F}',
        "f",
        'def f(x):\n    """\n    >>> f(1)\n    2\n    """\n    return x + 1\n',
    ),
    ("table cell then text", f"| a | b |\n|---|---|\n\n{BA}", "f", ADD),
    ("html details", f"<details><summary>Code</summary>\n\n{BA}\n\n</details>", "f", ADD),
    ("details no blank", f"<details>\n{BA}\n</details>", "f", ADD),
    ("answer inline tag", f"<answer>{ADD}</answer>", "f", ADD),
    ("answer: code w/o def newline", "<answer>def f(x): return x + 1</answer>", "f", "def f(x): return x + 1\n"),
    ("solution tags custom", f"<solution>\n{BA}\n</solution>", "f", ADD),
    ("unknown tag wrapper", f"<final_code>\n{ADD}</final_code>", "f", ADD),
    (
        "bold title + code unfenced + explanation",
        f"**Solution**\n\n{ADD}\n**Explanation**\n\nThe function adds one.",
        "f",
        ADD,
    ),
    ("explanation with bullets after unfenced", f"{ADD}\n- It takes x\n- It returns x + 1", "f", ADD),
    ("number list after unfenced", f"{ADD}\n1. Take x\n2. Return x + 1", "f", ADD),
    ("lowercase prose after unfenced", f"{ADD}\nthis function adds one to x", "f", ADD),
    ("unfenced stdin with prose that has apostrophes", f"Here's the program I'd write:\n\n{P}\nIt's simple.", None, P),
    ("Chinese prose", f"下面是代码。\n{B}\n希望有帮助。", None, P),
    ("Chinese prose unfenced", f"下面是代码。\n\n{P}\n这个程序读入一个数。", None, P),
    ("full-width backticks?", f"代码。{F}python\n{P}{F}。", None, P),
    (
        "only class Solution",
        f"{F}python\nclass Solution:\n    def f(self, x):\n        return x\n{F}\nTime: {F}O(1){F}",
        "f",
        "class Solution:\n    def f(self, x):\n        return x\n",
    ),
    ("fence after bullets with colon", f"- Code:\n  {F}python\n  def f(x):\n      return x + 1\n  {F}", "f", ADD),
    (
        "nested list 4 spaces, closing less",
        f"1. Code:\n\n    {F}python\n    def f(x):\n        return x + 1\n    {F}\n",
        "f",
        ADD,
    ),
    ("closing fence not indented", f"1. Code:\n   {F}python\n   def f(x):\n       return x + 1\n{F}\n", "f", ADD),
    ("quoted w/o space", f">{F}python\n>def f(x):\n>    return x + 1\n>{F}", "f", ADD),
    ("tests in same block kept", f"{F}python\n{ADD}\nassert f(1) == 2\n{F}", "f", ADD + "\nassert f(1) == 2\n"),
    ("two fences glued", f"{BA}{F}python\nprint(f(1))\n{F}", "f", ADD),
    ("think in bold heading", f"**Thinking:** use <think>.\n{BA}", "f", ADD),
    ("think after intro", f"Sure!\n<think>\n{F}python\ndef f(x):\n    return 0\n{F}\n</think>\n{BA}", "f", ADD),
    ("think quote block", f"> <think>\n> hm\n> </think>\n{BA}", "f", ADD),
    ("thinking open without content", f"<think>\n\n</think>\n\n{BA}", "f", ADD),
    ("two thinks", f"<think>a</think>\n{F}python\ndef f(x):\n    return 0\n{F}\n<think>b</think>\n{BA}", "f", ADD),
    (
        "think after answer closed",
        f"{BA}\n<think>was that right? {F}python\ndef f(x):\n    return 0\n{F} no</think>\nYes.",
        "f",
        ADD,
    ),
    (
        "program with input string mark unfenced",
        "s = input()\nprint(s.split('</think>')[-1])\n",
        None,
        "s = input()\nprint(s.split('</think>')[-1])\n",
    ),
    (
        "regex multi-line marks in triple",
        f'{F}python\nimport re\nR = re.compile(r"""\n<think>(.*?)\n</think>\n""", re.X)\n'
        f'print(R.sub("", input()))\n{F}',
        None,
        'import re\nR = re.compile(r"""\n<think>(.*?)\n</think>\n""", re.X)\nprint(R.sub("", input()))\n',
    ),
    ("think closers in comment at line start", f"{F}python\n# </think>\n{P}{F}", None, "# </think>\n" + P),
    (
        "think mark line begins in comment after think",
        f"<think>x</think>\n{F}python\n# <think> is\n{P}{F}",
        None,
        "# <think> is\n" + P,
    ),
    (
        "prose: The <think> and </think> tags are dropped",
        f"The <think> and </think> tags are dropped.\n{B}\nSo `<think>x</think>` gives nothing; <think>x</think> too.",
        None,
        P,
    ),
    ("think tag mention at end of prose line", f"{B}\nNothing is printed before </think>\n", None, P),
    (
        "json fenced with code lang",
        f'{F}json\n{{"language": "python", "code": "def f(x):\\n    return x + 1"}}\n{F}',
        "f",
        ADD,
    ),
    ("json list", '[{"code": "def f(x):\\n    return x + 1"}]', "f", ADD),
    ("json nested", '{"result": {"code": "def f(x):\\n    return x + 1"}}', "f", ADD),
    ("json with raw newline", '{"code": "def f(x):\n    return x + 1\n"}', "f", ADD),
    ("json array of lines", '{"code": ["def f(x):", "    return x + 1"]}', "f", ADD),
    ("json after prose", 'Here:\n{"code": "def f(x):\\n    return x + 1"}', "f", ADD),
    ("escaped newlines", f"{F}python\\ndef f(x):\\n    return x + 1\\n{F}", "f", ADD),
    (
        "diff from scratch",
        f"{F}diff\n--- /dev/null\n+++ b/f.py\n@@ -0,0 +1,2 @@\n+def f(x):\n+    return x + 1\n{F}",
        "f",
        ADD,
    ),
    ("diff partial plus full", f"{BA}\n{F}diff\n-    return x\n+    return x + 1\n{F}", "f", ADD),
    ("unclosed after prose", f"Here: {F}python\n{ADD}", "f", ADD),
    ("zero width inside code indentation", f"{F}python\n\u200bdef f(x):\n    return x + 1\n{F}", "f", ADD),
    ("nbsp indentation", f"{F}python\ndef f(x):\n\u00a0\u00a0\u00a0\u00a0return x + 1\n{F}", "f", ADD),
    ("smart quotes?", f"{F}python\ndef f(x):\n    return “a”\n{F}", "f", "def f(x):\n    return “a”\n"),
    ("tilde in backtick block", f"{F}python\ns = '''\n~~~\n'''\n{ADD}{F}", "f", "s = '''\n~~~\n'''\n" + ADD),
    ("latex display", f"\\[ x + 1 \\]\n{BA}\n\\boxed{{f}}", "f", ADD),
    (
        "code in two langs first python",
        f"{BA}\n{F}java\nclass Main {{ int f(int x) {{ return x + 1; }} }}\n{F}",
        "f",
        ADD,
    ),
    ("code bash install then python", f"{F}bash\npip install numpy\n{F}\n{BA}", "f", ADD),
    ("main.py: heading tag", f"{F}main.py\n{ADD}{F}\n{F}test.py\nassert f(1) == 2\n{F}", "f", ADD),
    (
        "python test file tagged",
        f"{F}python\n# solution.py\n{ADD}{F}\n\n{F}python\n# test_solution.py\n"
        f"from solution import f\nassert f(1)==2\n{F}",
        "f",
        "# solution.py\n" + ADD,
    ),
    (
        "def in test redefine",
        f"{BA}\nNaive alternative:\n{F}python\ndef f_slow(x):\n    return sum([x, 1])\n{F}",
        "f",
        ADD,
    ),
    (
        "stub first (given signature) then solution",
        f"Given\n{F}python\ndef f(x):\n    pass\n{F}\nwe write\n{BA}",
        "f",
        ADD,
    ),
    ("solution, then stub repeated", f"{BA}\nwhich fills\n{F}python\ndef f(x):\n    pass\n{F}", "f", ADD),
    ("solution, then ellipsis stub", f"{BA}\nSignature:\n{F}python\ndef f(x: int) -> int: ...\n{F}", "f", ADD),
    (
        "solve + main guard",
        f"{F}python\ndef solve(n):\n    return n + n\n{F}\n{F}python\nif __name__ == '__main__':\n"
        f"    print(solve(int(input())))\n{F}",
        None,
        "def solve(n):\n    return n + n\nif __name__ == '__main__':\n    print(solve(int(input())))\n",
    ),
    (
        "class in one, method use in other",
        f"{F}python\nclass D:\n    def go(self, n):\n        return n + n\n{F}\n{F}python\n"
        f"print(D().go(int(input())))\n{F}",
        None,
        "class D:\n    def go(self, n):\n        return n + n\nprint(D().go(int(input())))\n",
    ),
    (
        "imports star",
        f"{F}python\nfrom math import *\n{F}\n{F}python\ndef f(x):\n    return floor(x)\n{F}",
        "f",
        "from math import *\ndef f(x):\n    return floor(x)\n",
    ),
    (
        "typing import",
        f"{F}python\nfrom typing import List\n{F}\n{F}python\ndef f(x: List[int]) -> int:\n    return 1\n{F}",
        "f",
        "from typing import List\ndef f(x: List[int]) -> int:\n    return 1\n",
    ),
    ("ws after fence", f"{F}python   \n{P}{F}   \n", None, P),
    ("fence followed by period", f"{F}python\n{P}{F}.", None, P),
    ("fence in parens", f"({F}python\n{P}{F})", None, P),
    ("fence followed by bold", f"{F}python\n{P}{F}**Explanation** it doubles", None, P),
    ("four backticks with three inside prose", f"````markdown\nHere:\n{B}\n````", None, P),
    ("html br", f"Code:<br>{F}python\n{P}{F}<br>", None, P),
    ("code with tab after bullets", f"-\t{F}python\n\tn = int(input())\n\tprint(n + n)\n\t{F}", None, P),
    ("emoji prefix", f"✅ {F}python\n{P}{F}", None, P),
    ("arrow prefix", f"→ {F}python\n{P}{F}", None, P),
    ("user: then code", f"assistant: {F}python\n{P}{F}", None, P),
    ("backslash fence", f"\\{F}python\n{P}\\{F}", None, P),
    ("double-backtick fence", f"``python\n{P}``", None, P),
    ("single-backtick wrap", f"`{P.rstrip()}`", None, P),
    ("inline single", "Use `print(int(input()) * 2)`.", None, None),
    ("curly: ```{python} opts", f"{F}{{python, echo=FALSE}}\n{P}{F}", None, P),
    ("ipython magics", f"{F}python\n%timeit f(1)\n{F}\n{BA}", "f", ADD),
    ("copy label", f"{F}python\nCopy code\n{P}{F}", None, P),
    ("tag upper PY3 w/ colon", f"{F}Python:\n{P}{F}", None, P),
    ("tag space name", f"{F}Python 3\n{P}{F}", None, P),
    ("tag 'python code'", f"{F}python code\n{P}{F}\n", None, P),
    ("tag 'py3' & prose opener 'Python 3'", f"Code: {F}Python 3\n{P}{F}\n", None, P),
    ("tag python solution", f"{F}python solution\n{P}{F}\nOut\n{F}\n14\n{F}", None, P),
    (
        "a quote that ends with its lines",
        f"> {F}python\n> def f(x):\n>     return x + 1\n\nThat is it.",
        "f",
        ADD + "\n",
    ),
]


@pytest.mark.parametrize(("reply", "defines", "program"), [row[1:] for row in REPLIES], ids=[row[0] for row in REPLIES])
def test_a_careful_reader_finds_the_program(reply: str, defines: str | None, program: str | None) -> None:
    assert extract_program(reply, defines) == program
