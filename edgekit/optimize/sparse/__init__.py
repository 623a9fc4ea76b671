"""XNNPACK's sparse kernels: which models they take, the rewrite that brings a model there, the sparse conversion."""
