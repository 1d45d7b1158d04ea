"""The libraries whose models are loaded and saved: one module for each."""
