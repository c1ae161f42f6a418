"""`python -m mars2_launch` is `mars2`."""

from mars2_launch import main

main()
