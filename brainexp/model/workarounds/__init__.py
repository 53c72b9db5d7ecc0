"""Ways around bugs of libraries: one module per bug, each with a test that fails when it is no longer needed."""
