"""What keeps a translation close to its input: the patch graph, the contrastive losses, and the table of methods."""
