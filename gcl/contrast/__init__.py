"""What holds a translation to its input: the patch graph, the contrastive losses, and the table of methods."""
