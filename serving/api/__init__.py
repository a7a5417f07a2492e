"""The HTTP service: routes, keys and limits, and what each answer looks like."""
