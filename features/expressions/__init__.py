"""SQL expressions of the definition: parsed, checked, and evaluated over columns, single rows, or by an engine."""
