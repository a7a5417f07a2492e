"""A segment's rule as sentences: a tree of groups and conditions, written as SQL and read from it."""
