"""Audiences while they are made: who a rule finds among everybody of the newest batch, and why a user is in or out."""
