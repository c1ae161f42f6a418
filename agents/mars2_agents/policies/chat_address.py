"""Where a chat server is, and whose key it is shown: nothing is sent to a server that the user did not name.

A text that is meant to name a server and does not (a slip in the scheme, a host without one, nothing behind the @) is
refused. Taken for a part of the model's name it would send prompts, and the key, to the default server.
"""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from mars2_env.errors import ConfigError, PolicyError

DEFAULT_URL: Final = "https://api.openai.com/v1"
DEFAULT_KEY: Final = "OPENAI_API_KEY"
NO_KEY: Final = "none"
"""What `key_env` says of a server that wants no key."""

_HOST: Final = re.compile(
    r"localhost(?=[:/]|\Z)|[^@]*//|[a-z][a-z0-9+.-]*:/|/|[^@/]+:\d+(?=/|\Z)|\[|[^@/]+/v\d+(?=/|\Z)"
    r"|(?:\d+\.){3}\d+(?=/|\Z)|[^@/]+\.[a-z]{2,}/",
    re.IGNORECASE,
)
"""What stands behind an @ is meant to be a server, and is no URL of one, where this matches."""


def server_url(url: str | None) -> str:
    """Return the URL of a server; where none is given, the one that `OPENAI_BASE_URL` names, or OpenAI's.

    Raises:
        ConfigError: it is none, an empty text too, or holds what may be a secret; that is not quoted.
    """
    return checked_url((os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL) if url is None else url)


def checked_url(url: str) -> str:
    """Return the URL of a server, without the slash at its end, scheme and host in small letters.

    Raises:
        ConfigError: it is none, or holds what may be a secret; that is not quoted.
    """
    if not isinstance(url, str) or not re.match(r"https?://[^/\s]", url, re.IGNORECASE):
        raise ConfigError("base_url: give the URL of a server with its scheme, such as http://localhost:8000/v1.")
    if set(url) & set("@?#"):
        raise ConfigError(
            "base_url: a user, a password or a query may be a secret, and would stand in logs. Name the environment "
            "variable that holds the key by key_env=."
        )
    parts = _split(url)
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower()).geturl().rstrip("/")


def _split(url: str) -> SplitResult:
    """Return the parts of a URL that name a host, and a port that there can be.

    Raises:
        ConfigError: they do not.
    """
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", url)
    except ValueError:  # a port that is no number up to 65535, or brackets that hold no address
        named = False
    if not named:
        raise ConfigError(
            f"base_url={url!r:.200}: give the URL of a server with a host, and a port from 1 to 65535 if any, such as "
            "http://localhost:8000/v1."
        )
    return parts


def model_and_url(rest: str) -> tuple[str, str | None]:
    """Return the model and the URL in `MODEL@URL`; models may have an @ of their own.

    Raises:
        ConfigError: there is no model, or what is to be the URL is none of http or https.
    """
    model, *urls = re.split(r"@(?=https?://)", rest, maxsplit=1, flags=re.IGNORECASE)
    if not model or re.match(r"https?://", model, re.IGNORECASE):
        raise ConfigError("openai needs a model: openai:MODEL or openai:MODEL@URL.")
    own, *behind = model.split("@")
    if "://" in model or (not urls and any(not text or _HOST.match(text) for text in behind)):
        raise ConfigError(  # what is behind it may hold a password
            f"openai:{own:.200}@...: what stands behind the @ is no URL; give it with its scheme, as in "
            f"MODEL@http://localhost:8000/v1. If all of it is the model's name, say so: MODEL@{DEFAULT_URL}."
        )
    return model, urls[0] if urls else None


def key_of(variable: str, url: str, *, chosen: bool) -> str:
    """Return the key that an environment variable holds; "" for none.

    Args:
        variable: its name, or "none".
        url: of the server.
        chosen: whether the user named the variable, which then has to be there.

    Raises:
        ConfigError: it cannot be the name of a variable. It is not quoted, since it may be a key.
        PolicyError: it is needed and not there, or holds what cannot be a key.
    """
    if variable == NO_KEY:
        return ""
    if not isinstance(variable, str) or not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,99}", variable):
        raise ConfigError(
            "key_env: give the name of an environment variable in capitals, such as OPENAI_API_KEY, or none. A key "
            "itself is never given here."
        )
    key = os.environ.get(variable, "").strip()
    if not key and (chosen or url == DEFAULT_URL):
        raise PolicyError(f"{url} needs a key: put it into the environment variable {variable}.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise PolicyError(f"what the environment variable {variable} holds is no key: letters, digits and signs alone.")
    return key
