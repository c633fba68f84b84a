"""Figures: the numbers behind each first, drawing second."""
