"""Semantic segmentation: datasets, their images, the driver."""
