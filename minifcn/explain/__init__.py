"""Ways to look inside: what a reader of the tutorials calls to see what the library really does.

    show_source(ops.conv2d)                   # the function as it stands in its file, with file and line
    inspect(net, (500, 500))                  # shapes, parameters, FLOPs, receptive fields, layer by layer
"""

from .inspection import Inspection, inspect
from .source import show_source

__all__ = ["Inspection", "inspect", "show_source"]
