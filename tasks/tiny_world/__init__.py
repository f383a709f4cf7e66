"""Steps that only the tiny world has: building it, pre-training its ladder, judging by its facts.

Importing this package makes the tiny world's judge known to A/B tests.
"""

import models.tiny_world.gold_replies  # noqa: F401 - registers itself with `open_judge`
