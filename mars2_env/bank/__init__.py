"""Replies recorded once and played again: a language model becomes an instant opponent that repeats to the bit.

`record` asks every agent for so many children of every node down to a depth, with real judging in between, and writes
the replies into a bank; the policy `replay:BANK` answers from it. What a bank does not hold is an error, never another
reply.
"""

from mars2_env.bank.file import Bank, BankHeader, Recorded, RecordedAgent, read_bank
from mars2_env.bank.record import calls_needed, record
from mars2_env.bank.replay import ReplayPolicy

__all__ = [
    "Bank",
    "BankHeader",
    "Recorded",
    "RecordedAgent",
    "ReplayPolicy",
    "calls_needed",
    "read_bank",
    "record",
]
