"""Hearth: AI conversations that know your documents and remember your life."""

__version__ = "0.1.0"
