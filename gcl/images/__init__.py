"""Decoding images, finding them in folders, making batches of them, and the inventory of a prepared data set."""
