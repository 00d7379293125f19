"""The words of the libraries by which cells cut, draw and measure."""

from __future__ import annotations

import re

IMAGE_NAME = re.compile(r"(?:.*_)?(?:image|img)(?:_clue)?_?\d{0,4}", re.IGNORECASE)
"""A name that no earlier cell defined and that holds an image: `image_1` (DeepEyesV2),
`image_clue_0` (PyVision), `img`; never `image_path`."""

USUAL = {
    "np": "numpy", "numpy": "numpy", "plt": "matplotlib.pyplot", "cv2": "cv2", "math": "math",
    "pd": "pandas", "sp": "sympy", "sympy": "sympy", "Image": "PIL.Image",
    "ImageDraw": "PIL.ImageDraw", "ImageOps": "PIL.ImageOps", "ImageEnhance": "PIL.ImageEnhance",
    "ImageFilter": "PIL.ImageFilter", "ImageChops": "PIL.ImageChops", "patches":
    "matplotlib.patches", "sns": "seaborn", "pytesseract": "pytesseract", "ndimage":
    "scipy.ndimage",
}  # fmt: skip
"""Names of modules that a cell uses without importing them: an earlier cell may have."""

OPENS = {"PIL.Image.open", "PIL.Image.new", "cv2.imread", "matplotlib.pyplot.imread"}
CUTS = {
    "cv2.resize", "cv2.rotate", "cv2.flip", "cv2.warpAffine", "cv2.warpPerspective",
    "cv2.getRectSubPix", "cv2.pyrUp", "cv2.pyrDown", "cv2.transpose", "numpy.rot90", "numpy.flip",
    "numpy.fliplr", "numpy.flipud", "PIL.ImageOps.mirror", "PIL.ImageOps.flip",
    "PIL.ImageOps.crop", "PIL.ImageOps.fit", "PIL.ImageOps.scale", "PIL.ImageOps.contain",
    "PIL.ImageOps.exif_transpose", "scipy.ndimage.rotate", "scipy.ndimage.zoom",
    "skimage.transform.resize", "skimage.transform.rotate", "skimage.transform.rescale",
    "skimage.transform.warp",
}  # fmt: skip
"""Functions that give another view of an image."""
CUT_METHODS = {"crop", "resize", "rotate", "thumbnail", "transpose", "transform", "reduce"}
SURE_CUTS = {"crop", "thumbnail"}
"""Methods of which an image is sure to be the owner, whatever is known of it."""

PEN_METHODS = {
    "rectangle", "line", "ellipse", "text", "polygon", "point", "arc", "chord", "pieslice",
    "rounded_rectangle", "multiline_text", "bitmap", "regular_polygon", "circle", "floodfill",
}  # fmt: skip
SURE_PEN = {"rectangle", "ellipse", "polygon", "rounded_rectangle", "pieslice", "multiline_text"}
DRAWS = {
    *(f"cv2.{name}" for name in (
        "rectangle", "line", "circle", "ellipse", "putText", "polylines", "fillPoly",
        "fillConvexPoly", "drawContours", "arrowedLine", "drawMarker", "drawMatches",
        "drawKeypoints")),
    "skimage.segmentation.mark_boundaries", "PIL.ImageDraw.floodfill",
}  # fmt: skip
DRAWING_MODULES = ("seaborn.", "plotly.", "skimage.draw.", "turtle.")
PLOT_METHODS = {
    "plot", "bar", "barh", "scatter", "hist", "hist2d", "hexbin", "pie", "boxplot", "violinplot",
    "errorbar", "fill", "fill_between", "stackplot", "step", "stem", "contour", "contourf",
    "quiver", "axhline", "axvline", "axhspan", "axvspan", "axline", "hlines", "vlines", "text",
    "annotate", "arrow", "add_patch", "add_artist", "add_line", "grid", "pcolormesh", "polar",
    "plot_surface", "loglog", "semilogx", "semilogy", "table", "bar_label",
}  # fmt: skip
PLOTTED = PLOT_METHODS - {
    "axhline", "axvline", "axhspan", "axvspan", "axline", "text", "annotate", "arrow", "add_patch",
    "add_artist", "add_line", "grid",
}  # fmt: skip
"""Those that draw data, which may have been computed; the others take places on the page."""

COUNTS = {"sum", "len", "max", "min", "pow", "divmod", "bin", "hex"}
"""Builtins whose result is computed."""
PASSES = {
    "int", "float", "str", "repr", "round", "abs", "list", "tuple", "set", "sorted", "reversed",
    "iter", "next", "format", "complex", "bool",
}  # fmt: skip
"""Builtins that give back what they were given, in another form."""
NUMERIC_MODULES = (
    "math", "cmath", "statistics", "fractions", "decimal", "sympy", "random", "colorsys", "numpy",
    "scipy", "operator", "mpmath", "networkx", "sklearn", "statsmodels", "shapely",
)  # fmt: skip
CONSTANT_MODULES = ("itertools", "datetime", "time", "calendar")
TEXT_MODULES = (
    "re", "string", "os", "pytesseract", "easyocr", "textwrap", "unicodedata", "pathlib",
)  # fmt: skip
MEASURES = {
    "sum", "mean", "std", "var", "median", "max", "min", "amax", "amin", "argmax", "argmin",
    "count", "count_nonzero", "unique", "histogram", "bincount", "percentile", "quantile", "any",
    "all", "argwhere", "nonzero", "corrcoef", "idxmax", "idxmin", "nunique", "value_counts", "corr",
    "describe", "getpixel", "getextrema", "getcolors", "getbbox", "entropy", "total_seconds",
    "average", "ptp", "cumsum", "trapz", "prod",
}  # fmt: skip
"""Functions and methods that make numbers of what they are given, images too."""
CV2_MEASURES = {
    "countNonZero", "contourArea", "arcLength", "minAreaRect", "boundingRect", "moments", "mean",
    "meanStdDev", "minMaxLoc", "matchShapes", "matchTemplate", "compareHist", "calcHist",
    "HoughCircles", "HoughLines", "HoughLinesP", "connectedComponents",
    "connectedComponentsWithStats", "norm", "PSNR", "minEnclosingCircle", "fitEllipse",
}  # fmt: skip
ARRAYS = {
    "array", "asarray", "asanyarray", "copy", "ascontiguousarray", "arange", "zeros", "ones",
    "full", "zeros_like", "ones_like", "uint8", "float32", "float64", "int32", "tile", "repeat",
}  # fmt: skip
"""Functions of numpy that compute nothing."""
SHOWS = {"display", "IPython.display.display"}
SAVES = {"cv2.imwrite", "matplotlib.pyplot.imsave", "imageio.imwrite"}
"""Functions that keep the image that is their second argument."""
