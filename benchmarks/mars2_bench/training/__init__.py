"""What training in a shared tree teaches: the miniature experiment, one command on a CPU."""
