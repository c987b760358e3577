"""Lay out scores as tables, charts and pages."""
