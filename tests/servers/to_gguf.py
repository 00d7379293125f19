"""An embedded model as the two files of llama.cpp, by llama.cpp's own converter.

python tests/servers/to_gguf.py LLAMA_CPP_SOURCE CHECKPOINT OUT    # OUT/model.gguf, OUT/mmproj.gguf

The converter knows tokenizers by a hash of what they make of a text. Ours is byte-level BPE without
merges, for which it does not matter how words are split: it is written down as that of GPT-2.
"""

import sys
from pathlib import Path
from unittest import mock


def convert(source: Path, checkpoint: Path, out: Path) -> None:
    """Write the language model and the vision tower, in float32."""
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    import convert_hf_to_gguf
    from conversion.base import TextModel
    from conversion.qwenvl import Qwen2VLModel

    with (
        mock.patch.object(TextModel, "get_vocab_base_pre", return_value="gpt-2"),
        mock.patch.object(Qwen2VLModel, "set_vocab", TextModel._set_vocab_gpt2),
    ):
        for name, more in (("model", []), ("mmproj", ["--mmproj"])):
            file = str(out / f"{name}.gguf")
            words = ["convert", str(checkpoint), "--outfile", file, "--outtype", "f32", *more]
            with mock.patch.object(sys, "argv", words):
                convert_hf_to_gguf.main()


if __name__ == "__main__":
    convert(*map(Path, sys.argv[1:]))
