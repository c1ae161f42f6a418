"""Errors that policies of this package raise beside those of the library."""

from __future__ import annotations

from mars2_env.errors import PolicyError


class UnavailableError(PolicyError):
    """What a policy asks (a server, an engine) is gone, or does not answer in time; another might."""
