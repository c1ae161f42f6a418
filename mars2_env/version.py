"""The version of the library; semantic versions, see CHANGELOG.md."""

__version__ = "0.1.0"
