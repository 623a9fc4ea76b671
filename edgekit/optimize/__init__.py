"""Passes over a model: prune, convert, quantize, audit, score; recipes and the pipeline that folds them."""
