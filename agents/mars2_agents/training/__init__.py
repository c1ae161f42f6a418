"""Training: rollouts, buffers, updates, and new weights to the policies that act; what every algorithm shares."""
