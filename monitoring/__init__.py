"""Whether it came true, and whether acting helped: matured outcomes, alarms, experiments."""
