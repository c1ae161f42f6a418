"""The image holds the interpreter, its standard library and what they link against; nothing else of this host."""

from __future__ import annotations

import importlib.util
import io
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from mars2_env.sandbox import dockerfile, make_sandbox
from mars2_env.sandbox.image import Entry, build_image, content_hash, fingerprint, tar_entries, write_tar

ALLOWED = re.compile(
    r"/python/bin/python(3(\.\d+)?)?"
    r"|/python/lib(64)?/python3\.\d+/.+"
    r"|/bin/sh"
    r"|/(usr/)?lib(64)?/([a-z0-9_]+-linux-[a-z0-9]+/)?[^/]+\.so[.0-9]*"
    r"|/etc/passwd|/etc/group|/python/passwd|/python/group"
    r"|/usr/lib/locale/C\.utf8/.+|/usr/share/zoneinfo/.+"
    r"|/box|/run/mars2|/tmp|/proc|/sys|/dev"
)
FORBIDDEN = re.compile(
    r"site-packages|dist-packages|\.pth$|sitecustomize|usercustomize|\.cfg$|\.egg|/pip(/|$)|__pycache__"
)


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return tar_entries()


def test_everything_in_the_image_has_a_reason(entries: list[Entry]) -> None:
    strange = [entry.path for entry in entries if not ALLOWED.fullmatch(entry.path)]
    assert strange == []
    assert [entry.path for entry in entries if FORBIDDEN.search(entry.path)] == []


def test_files_of_the_standard_library_are_those_of_this_python(entries: list[Entry]) -> None:
    found = {entry.path: entry.data for entry in entries}
    library = f"/python/{sys.platlibdir}/python3.{sys.version_info.minor}"
    assert found[f"{library}/heapq.py"] == Path(importlib.import_module("heapq").__file__ or "").read_bytes()
    assert found["/python/passwd"].count(b"\n") == 3  # type: ignore[union-attr]
    assert any("/libc." in path for path in found) and any("_json" in path for path in found)


def test_byte_code_is_there_and_never_checked_against_its_source(entries: list[Entry]) -> None:
    file = io.BytesIO()
    write_tar([entry for entry in entries if entry.path.endswith("/heapq.py")], file)
    file.seek(0)
    with tarfile.open(fileobj=file) as tar:
        names = {Path(name).name for name in tar.getnames()}
        assert {"heapq.py", f"heapq.{sys.implementation.cache_tag}.pyc"} <= names
        member = next(name for name in tar.getnames() if name.endswith(".pyc"))
        data = tar.extractfile(member).read()  # type: ignore[union-attr]
    assert data[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(data[4:8], "little") == 0b01, "PEP 552: hash-based, unchecked"


def test_the_hash_is_of_the_contents(entries: list[Entry]) -> None:
    assert content_hash(entries) == content_hash(list(reversed(entries)))
    changed = [Entry(entry.path, b"#", entry.link) if entry.path.endswith("/heapq.py") else entry for entry in entries]
    assert content_hash(changed) != content_hash(entries)
    assert fingerprint() == fingerprint() != fingerprint(python_packages=["numpy"])


def test_an_image_that_is_there_is_not_built_again(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image = build_image(engine)
    monkeypatch.setattr("mars2_env.sandbox.image.tar_entries", None)
    assert build_image(engine) == image
    assert engine.images.get(image.name).labels["mars2_env.image.digest"] == image.digest


def test_inside_python_is_where_it_should_be_and_alone(engine: Any) -> None:
    with make_sandbox("docker", workers=1) as sandbox:
        program = (
            "import sys, os, ssl, sqlite3, ctypes, lzma, bz2, zlib, decimal, json\n"
            "print(sys.version)\n"
            "print(sys.prefix, [p for p in sys.path if not p.startswith('/python')], os.listdir('/tmp'))\n"
        )
        assert sandbox.run(program, [""])[0].output == f"{sys.version}\n/python [] []\n"


def test_the_dockerfile_has_this_python_and_what_a_worker_needs() -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    text = dockerfile()
    assert text.startswith(f"FROM python:{version}-slim\n")
    for path in ("/box", "/run/mars2", "/python/bin/python3"):
        assert path in text
    assert "numpy" not in text and "numpy" in dockerfile(numpy=True)


@pytest.mark.slow
def test_the_variant_with_numpy_has_numpy(docker_engine: None) -> None:
    with make_sandbox("docker", workers=1, numpy=True) as sandbox:
        program = "import numpy as np\na = np.arange(10.0)\nprint((a @ a), np.linalg.inv(np.eye(2) * 2)[0, 0])"
        run = sandbox.run(program, [""])[0]
        assert (run.status, run.output) == ("ok", "285.0 0.5\n"), run
    with make_sandbox("docker", workers=1) as sandbox:
        assert sandbox.run("import numpy", [""])[0].error_type == "ModuleNotFoundError"
