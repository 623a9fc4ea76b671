"""edgekit: make a trained model small and fast, put it on your own boards, measure it there."""

__version__ = "0.1.0"
