"""`python -m mars2_env.cli` is `mars2`."""

from mars2_env.cli import main

main()
