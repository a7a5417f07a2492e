"""How it is learnt: outcomes, dataset, split, fit, evaluation, registry."""
