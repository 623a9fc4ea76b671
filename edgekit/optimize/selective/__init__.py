"""Selective quantization: which layers lose the accuracy in int8, and keeping only those out of it."""
