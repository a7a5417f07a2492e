"""The Complete Journey: real grocery transactions of 2,469 households in 2017 (84.51°, through PyPI)."""
