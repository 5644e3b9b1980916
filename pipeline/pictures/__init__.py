"""What is done with anybody's folders of pictures, outside the stages."""
