"""The page of the evidence and its figure: everything on them is from the results file."""
