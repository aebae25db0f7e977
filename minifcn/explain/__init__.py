"""Ways to look inside: what a reader of the tutorials calls to see what the library really does.

    show_source(ops.conv2d)                   # the function as it stands in its file, with file and line
"""

from .source import show_source

__all__ = ["show_source"]
