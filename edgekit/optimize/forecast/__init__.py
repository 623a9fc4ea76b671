"""What each step of a recipe will buy on a target, before any training; and whether that came true."""
