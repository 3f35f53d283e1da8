"""The meaning of ONNX operators: one module a family, and `tables` from name and version to them.

Nothing is imported here: rules of one family also serve Keras and TensorFlow.
"""
