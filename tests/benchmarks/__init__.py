"""Speed as ratios against what a user would write: ``make bench``."""
