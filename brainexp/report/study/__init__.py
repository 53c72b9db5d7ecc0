"""The report of a study: tables, figures and a page of all runs of one or more sweeps."""
