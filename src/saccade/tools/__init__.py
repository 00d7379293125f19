"""What a model can call: looking closer, turning, reading text, Python."""

BUILT_IN = {
    "zoom_in": "saccade.tools.zoom:ZoomIn",
    "rotate": "saccade.tools.zoom:Rotate",
    "python": "saccade.tools.python:Python",
    "read_text": "saccade.tools.read_text:ReadText",
}
"""Names for run files; your own tool goes there as "package.module:Class"."""
