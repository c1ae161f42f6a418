"""The event log: one file of JSON lines per tree, from which everything else about a search is read.

Line 1 is the header, every further line an event of the episode, written to the operating system before the episode
changes by it and synced to disk when the tree ends. Clock times, token counts and sampled tokens live in a trace file
beside the log, so that two runs with the same task, seed and replies have byte-identical logs.

    runs/x/run.json                          task, team, seed, plan and kind of sandbox of the run
    runs/x/trees/HumanEval%2F0.seed0.jsonl   the log of one tree
    runs/x/trees/HumanEval%2F0.seed0.trace   its trace
    runs/x/trees/HumanEval%2F0.seed0.faults  faults that ended the tree before it was taken up again, if any did
    runs/x/hidden.jsonl                      verdicts on hidden tests, written by `evaluate` after trees are closed

Whatever else lies in `trees`, under a name that is not that of a log, is left alone by all that read and write runs. A
file that is named as a log and is none stops all of them (`log_files`).
"""

from mars2_env.base.journal import check_same
from mars2_env.log.codec import EVENTS, SCHEMA, Header, decode_event, encode_event, schema_of, task_hash
from mars2_env.log.fold import DAMAGE, Tree, fold, follow, read_log, tree_of
from mars2_env.log.fresh import fresh_turn
from mars2_env.log.replay import make_episode, replay
from mars2_env.log.trace import Trace, TraceWriter, read_trace, trace_path
from mars2_env.log.writer import LogWriter, check_logs, faults_path, log_files, log_path, read_events, read_header

__all__ = [
    "DAMAGE",
    "EVENTS",
    "SCHEMA",
    "Header",
    "LogWriter",
    "Trace",
    "TraceWriter",
    "Tree",
    "check_logs",
    "check_same",
    "decode_event",
    "encode_event",
    "faults_path",
    "fold",
    "follow",
    "fresh_turn",
    "log_files",
    "log_path",
    "make_episode",
    "read_events",
    "read_header",
    "read_log",
    "read_trace",
    "replay",
    "schema_of",
    "task_hash",
    "trace_path",
    "tree_of",
]
