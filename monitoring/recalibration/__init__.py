"""Whether a level has moved, and a version with it corrected: the proposal, its gate, and the job."""
