"""Fit parameters of bodies to what was seen."""
