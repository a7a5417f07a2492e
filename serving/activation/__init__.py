"""Handing transitions over: who is a member of what, which transitions happened, and their delivery to destinations."""
