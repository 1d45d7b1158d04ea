"""The file formats: one module for each, which reads untrusted files and writes new ones."""
