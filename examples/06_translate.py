"""Learn to translate from sentence pairs, and see which source word each word came from."""

import carousel

who = {"the cat": "die Katze", "the dog": "der Hund", "the bird": "der Vogel", "a man": "ein Mann"}
what = {"sleeps": "schläft", "eats": "frisst", "sings": "singt", "runs": "rennt"}
when = {"today": "heute", "at night": "nachts", "every day": "jeden Tag", "here": "hier"}
pairs = [
    (f"{time} {one} {does}.", f"{zeit} {tut} {wer}.")
    for one, wer in who.items()
    for does, tut in what.items()
    for time, zeit in when.items()
]

# The defaults are made for thousands of pairs.
options = {"hidden_size": 64, "embedding_size": 32, "word_dropout": 0.0, "label_smoothing": 0.0}
calm = {"input_dropout": 0.1, "hidden_dropout": 0.1, "output_dropout": 0.1}
run = carousel.RunOptions(max_steps=600, learning_rate=5e-3, progress="none")
model = carousel.Translator(guided_alignment=0.5, **options, **calm).fit(pairs, run=run)
print(model.evaluate(pairs))  # the held-out pairs, beside a word-by-word translation
found = model.translations(["every day the bird runs."])[0]
print(found, [found.source_words[number] for number in found.alignment])
