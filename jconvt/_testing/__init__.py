"""What ``python -m jconvt check`` and the tests compare with: stored results and cases."""
