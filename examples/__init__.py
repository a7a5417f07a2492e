"""Example definitions, and the programs that bring their logs."""
