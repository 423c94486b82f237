"""Learn a text, say how likely sentences are, and write on."""

import carousel

text = "the cat sat on the mat. the dog sat on the log. a cat and a dog met on the mat. " * 60

run = carousel.RunOptions(max_steps=150, progress="none")
model = carousel.LanguageModel(hidden_size=64).fit([text], run=run)
print(model.evaluate([text]))  # its last twentieth, which fitting has not seen
print(model.score("the cat sat on the log.").perplexity)
print(model.score("log the on sat cat the.").perplexity)
print(model.generate("the dog", max_tokens=60, stop=".", temperature=0.5))
