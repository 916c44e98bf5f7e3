"""Groups of runs, as the page shows them: asked for again and again, or in a file."""
