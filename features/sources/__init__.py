"""Databases, buckets and tables of lakes: what is new at them becomes files of the log."""
