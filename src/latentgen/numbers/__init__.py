"""The numbers behind figures: averages over runs, the table behind each figure.

Imports nothing that draws. Drawing is in `latentgen.figures`.
"""
