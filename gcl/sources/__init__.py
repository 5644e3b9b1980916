"""Sources of images: drawn scenes, folders of photographs, and the archives of public data sets."""
