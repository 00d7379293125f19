"""Near-duplicates: texts that say the same in almost the same words, and copies of an image.

    texts, images = TextIndex(), ImageIndex()
    texts.add(sketch_text("What is on the sign?"))
    found = texts.nearest(sketch_text("what is on the sign"), least=0.9)   # Near(place=0, ...)

What is compared is a sketch, a few hundred bytes of a text and 4 KiB of an image; neither the text
nor the image is kept. Paraphrases, translations, and photographs of the same thing are not found.
"""
