"""The command line: `propensity check | train | score | serve | ui | feast`."""
