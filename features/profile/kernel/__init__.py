"""The fold, compiled. The plain-Python oracle in ``tests/oracle.py`` says the same without tricks."""
