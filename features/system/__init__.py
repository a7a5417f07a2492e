"""Files, locks, threads and progress: what every part of the program needs of the machine."""
