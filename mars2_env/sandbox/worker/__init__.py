"""Code that runs inside the sandbox, under the image's own Python: standard library only.

The host imports `values` and `frames` from here, because both ends must agree on them, `users` and `place`; it never
imports the rest. What each file owns: `supervisor` (process 1: jobs and their answers), `seat` (a process that waits
for its run, or is at it), `place` (what a run finds about itself), `watch` (one run and its limits), `meter` (what is
used), `cleanup` (what is left), `zygote` (forks seats), `guard` (process 1 of a run, where runs have no user ids of
their own), `driver` (our code in a candidate's own process), and what these share: `frames` (messages), `values` (plain
data as bytes), `users` (ids that nobody has).
"""
