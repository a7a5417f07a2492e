"""Taking events in: read, committed, folded into profiles, compacted into files, reconciled."""
