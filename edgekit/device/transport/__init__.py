"""Ways to reach a board: local processes and SSH."""
