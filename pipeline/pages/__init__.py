"""The pages of the two reports: templates, figures and tables."""
