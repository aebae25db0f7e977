"""Ways to look inside: what a reader of the tutorials calls to see what the library really does.

    show_source(ops.conv2d)                   # the function as it stands in its file, with file and line
    inspect(net, (500, 500))                  # shapes, parameters, FLOPs, receptive fields, layer by layer
    shift_and_stitch(scores_of(net), x)       # a score for every pixel, from the network as it is, run f*f times
"""

from .inspection import Inspection, inspect
from .source import show_source
from .stitching import margin, rarefied_scores, shift_and_stitch

__all__ = ["Inspection", "inspect", "margin", "rarefied_scores", "shift_and_stitch", "show_source"]
