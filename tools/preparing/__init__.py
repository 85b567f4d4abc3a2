"""Preparers, one module per dataset: from the downloaded tree to lists of samples."""
