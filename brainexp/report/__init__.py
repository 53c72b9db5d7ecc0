"""What a run shows: files, figures, brain maps and the table at its end."""
