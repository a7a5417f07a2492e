"""SQL expressions of the definition: parsed, checked, and evaluated over columns or translated for an engine."""
