"""Render JOBS as units and the files beside them: text in, text out."""
