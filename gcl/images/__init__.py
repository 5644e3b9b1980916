"""One image's decoding, folders of images, batches of them, and the inventory of a prepared data set."""
