"""The data set that needs no download: horses and zebras in small landscapes, drawn from random numbers."""
