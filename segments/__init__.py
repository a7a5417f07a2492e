"""What we call what is known about a user: state, RFM group, tier, segment."""
