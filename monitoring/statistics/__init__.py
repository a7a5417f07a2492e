"""The formulas of monitoring and of experiments: numbers in, numbers out; nothing here reads a file or a clock."""
