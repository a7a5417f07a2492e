"""What the console keeps: sessions, logins, drafts, publications, and the log of actions."""
