"""Figures, tables, plots and pages for people."""
