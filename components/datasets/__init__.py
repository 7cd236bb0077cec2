"""Samples in shards with manifests: readers, writers, splits, leak checks, versions."""
