"""Lay out scores and charts for people."""
