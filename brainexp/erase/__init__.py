"""Take what a linear reader can tell about a property out of features, and see what it can still tell."""
