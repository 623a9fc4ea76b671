"""Passes around quantization that work on the .tflite itself: ranges, equalisation, bias correction."""
