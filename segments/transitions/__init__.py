"""What users are in, and when that changes: memberships, transitions, and when to look again."""
