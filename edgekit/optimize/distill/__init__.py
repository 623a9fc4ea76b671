"""Knowledge distillation: a model learns another one's outputs."""
