"""What users do over time: how many are active, who comes and goes, what they bring."""
