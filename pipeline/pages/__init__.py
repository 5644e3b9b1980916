"""The two reports: their templates, figures and tables."""
