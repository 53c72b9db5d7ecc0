"""Errors of libraries that are gone around: one file each, with a test that fails when it is no longer needed."""
