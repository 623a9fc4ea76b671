"""Filter pruning: filters, units and attention heads taken out for real, so that every runtime gets faster."""
