"""Tables and JSON of what commands made."""
