"""Trained networks and their files: what format is this, load it safely, describe it."""
