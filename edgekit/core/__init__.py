"""Words that every room may use: errors, notices, events, units, hashing, places, decoding, child processes."""
