"""Hearth: AI conversations that know your documents and remember your life."""

import os

__version__ = "0.1.0"

# What runs here tells nobody: onnxruntime would report to its makers, and decides about that when it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
