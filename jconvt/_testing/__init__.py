"""The data and checks of ``jconvt check`` and of the tests: TensorFlow's stored outputs, and cases."""
