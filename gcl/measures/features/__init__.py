"""The networks by whose features images are compared."""
