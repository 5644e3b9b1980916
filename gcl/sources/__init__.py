"""Where images come from: drawn scenes, folders of photographs, and the archives of public data sets."""
