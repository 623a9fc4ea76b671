"""Plans, statistics and verdicts over samples, and the loop that collects them."""
