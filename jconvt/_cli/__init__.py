"""The commands of ``python -m jconvt``: one file for each."""
