"""The tiny world: facts, questions, answers, a gold judge and a corpus made on the spot."""
