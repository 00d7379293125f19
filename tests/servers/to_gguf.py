"""An embedded model as the two files of llama.cpp, by llama.cpp's own converter.

python tests/servers/to_gguf.py LLAMA_CPP_SOURCE CHECKPOINT OUT    # OUT/model.gguf, OUT/mmproj.gguf

The converter knows tokenizers by a hash of what they make of a text, and llama.cpp wants at least
one merge. Ours is byte-level BPE without any, for which it does not matter how words are split: it
is written down as that of GPT-2, with a merge of two zero bytes. Every layer of the vision tower
attends everywhere, which llama.cpp expects as "no windows"; "a window at every first layer", as the
converter has it, ends the server.
"""

import sys
from pathlib import Path
from unittest import mock

ZERO = "\u0100"
"""How byte-level BPE writes a zero byte."""


def convert(source: Path, checkpoint: Path, out: Path) -> None:
    """Write the language model and the vision tower, in float32."""
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    import convert_hf_to_gguf
    import gguf
    from conversion.base import TextModel
    from conversion.qwenvl import Qwen2VLModel

    write, add_pattern = gguf.SpecialVocab.add_to_gguf, gguf.GGUFWriter.add_vision_n_wa_pattern

    def with_a_merge(vocabulary: gguf.SpecialVocab, *arguments: object, **options: object) -> None:
        vocabulary.merges = [f"{ZERO} {ZERO}"]
        write(vocabulary, *arguments, **options)

    def without_windows(writer: gguf.GGUFWriter, _: int) -> None:
        add_pattern(writer, 0)

    with (
        mock.patch.object(TextModel, "get_vocab_base_pre", return_value="gpt-2"),
        mock.patch.object(Qwen2VLModel, "set_vocab", TextModel._set_vocab_gpt2),
        mock.patch.object(gguf.SpecialVocab, "add_to_gguf", with_a_merge),
        mock.patch.object(gguf.GGUFWriter, "add_vision_n_wa_pattern", without_windows),
    ):
        for name, more in (("model", []), ("mmproj", ["--mmproj"])):
            file = str(out / f"{name}.gguf")
            words = ["convert", str(checkpoint), "--outfile", file, "--outtype", "f32", *more]
            with mock.patch.object(sys, "argv", words):
                convert_hf_to_gguf.main()


if __name__ == "__main__":
    convert(*map(Path, sys.argv[1:]))
