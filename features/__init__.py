"""What is known about a user at a moment: events, signals, profiles, feature rows, and the Feast repo."""
