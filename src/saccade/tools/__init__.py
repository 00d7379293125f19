"""What a model can call: looking closer, turning, reading text, Python, searching."""

BUILT_IN = {
    "zoom_in": "saccade.tools.zoom:ZoomIn",
    "rotate": "saccade.tools.zoom:Rotate",
    "python": "saccade.tools.python:Python",
    "read_text": "saccade.tools.read_text:ReadText",
    "text_search": "saccade.tools.search.text:TextSearch",
    "image_search": "saccade.tools.search.image:ImageSearch",
    "open_page": "saccade.tools.search.page:OpenPage",
}
"""Names for run files; your own tool goes there as "package.module:Class"."""
