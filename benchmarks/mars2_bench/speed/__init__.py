"""What judging, searching and environments cost, each beside a floor or a peer in the same run."""
