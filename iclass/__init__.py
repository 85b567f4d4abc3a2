"""Image classification: datasets, their images, the driver."""
