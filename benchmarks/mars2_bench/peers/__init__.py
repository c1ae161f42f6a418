"""What other projects do with the same inputs, run from their own packages or recorded."""
