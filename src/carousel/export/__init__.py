"""Layers in forms that other programs read."""

from carousel.export.onnx_file import export_onnx

__all__ = ["export_onnx"]
