"""What a model is like before anything is done to it: shares, spectra, fusion, and which recipe follows from them."""
