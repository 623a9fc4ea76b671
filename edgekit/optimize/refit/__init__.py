"""Small passes over a trained model: statistics made anew, training-only layers out, preprocessing folded in."""
