"""The report's tables and figures as files: text, CSV, LaTeX, SVG, PDF."""
