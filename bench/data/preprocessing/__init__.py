"""From the content of files to the images of a training."""
