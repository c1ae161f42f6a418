"""The harness: algorithms on named environments, results that anyone can verify, and the board made of them."""
