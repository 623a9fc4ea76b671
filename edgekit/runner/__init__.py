"""What runs on the board: the payload, the runtimes it can drive, and the records that it sends back."""
