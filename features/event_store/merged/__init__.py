"""Ids that were merged with others: pairs as they were reported, who is who, and the rows of these ids."""
