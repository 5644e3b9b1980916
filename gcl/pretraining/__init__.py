"""How the bundled networks were made."""
