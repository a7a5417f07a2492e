"""The page of `propensity check`: what a model could learn from a log, before anything is trained."""
