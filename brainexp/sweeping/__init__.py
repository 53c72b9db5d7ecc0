"""What makes a sweep survive: what has finished is known, what fails is kept, and each job has a GPU of its own."""
