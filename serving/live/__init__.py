"""The live path: messages in, profiles folded on within a second, nothing lost."""
