"""The gold judge in A/B tests: it replies as any judge does, and its replies are read like any other's."""

from collections.abc import Callable, Sequence

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import JudgeSettings
from data_contracts.config.world import GoldJudgeSource
from models.evaluation.judging.judge_reply import HIGHEST, LOWEST
from models.evaluation.judging.judges import JudgePrompt, JudgeReply, open_judge
from models.tiny_world.judge import GoldJudge
from models.tiny_world.world import build_world


class GoldReplies:
    """The gold judge as a `Judge`: scores from 1 to 10, then what is wrong."""

    rows_at_once = 1000

    def __init__(self, judge: GoldJudge) -> None:
        self._judge = judge

    def ask(self, prompts: Sequence[JudgePrompt], keep: Callable[[JudgePrompt, JudgeReply], None]) -> None:
        """Hand each reply to `keep`; a question that is not of this world is a failure."""
        for prompt in prompts:
            keep(prompt, self._reply(prompt))

    def _reply(self, prompt: JudgePrompt) -> JudgeReply:
        judged = [self._judge.score(prompt.question, answer) for answer in (prompt.first, prompt.second)]
        first, second = judged
        if first is None or second is None:
            return JudgeReply("", failure="the question is not about this world")
        scores = [LOWEST + (HIGHEST - LOWEST) * found.score for found in (first, second)]
        told = [
            f"Assistant {place}: {found.critique or 'Nothing is wrong.'}"
            for place, found in enumerate((first, second), 1)
        ]
        return JudgeReply(f"{scores[0]:.2f} {scores[1]:.2f}\n" + "\n".join(told))


@open_judge.register
def open_gold_replies(judge: GoldJudgeSource, settings: JudgeSettings, engine: EngineConfig) -> GoldReplies:
    """The judge of the described world; it needs neither settings nor an engine."""
    return GoldReplies(GoldJudge(build_world(judge.world, judge.world_seed)))
