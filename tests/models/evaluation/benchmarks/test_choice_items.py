"""Multiple choice by likelihood: ties, what does not fit, both prompt styles, and templates that a person wrote."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import ConfigError
from data_contracts.tables.evaluations import EvaluatedItem
from models.engines.transformers_engine import TransformersEngine
from models.evaluation.benchmarks.catalogue import TEMPLATES, Benchmark, builtin_template, load_template, template_name
from models.evaluation.benchmarks.choice_items import Choice, ChoiceItem, choice_value, score_items
from models.evaluation.benchmarks.prompt_template import PromptStyle, Rendering, parse_template
from models.lm.chat_template import prepare_tokenizer
from models.lm.load_model import open_tokenizer


@pytest.mark.parametrize(
    ("scores", "correct", "value"),
    [
        ([-1.0, -2.0], 0, 1.0),
        ([-1.0, -2.0], 1, 0.0),
        ([-1.0, -1.0, -1.0, -3.0], 0, 1 / 3),
        ([-1.0, -1.0, -3.0], 2, 0.0),
    ],
)
def test_a_tie_counts_one_in_k(scores: list[float], correct: int, value: float):
    assert choice_value(scores, correct) == value


@given(st.lists(st.integers(-5, 0), min_size=1, max_size=8))
def test_over_all_options_the_values_make_one(scores: list[int]):
    assert sum(choice_value([float(s) for s in scores], place) for place in range(len(scores))) == pytest.approx(1.0)


def item(name: str, context: str, *options: str, **more) -> ChoiceItem:
    return ChoiceItem(name, context, tuple(Choice(context, option) for option in options), 0, **more)


def test_items_beyond_the_context_keep_their_row_and_say_why(long_model: Path, monkeypatch: pytest.MonkeyPatch):
    engine = TransformersEngine(long_model)
    monkeypatch.setattr(type(engine), "context_length", property(lambda _: 40))
    fits, too_long, long_option = (
        item("a", "Who is it?", " A", " B"),
        item("b", "x" * 90, " A"),
        item("c", "?", " y" * 50),
    )
    rows = score_items(engine, [too_long, fits, long_option], "bench", "model")
    EvaluatedItem.from_rows(rows)
    assert [row["item_id"] for row in rows] == ["b", "a", "c"]
    assert rows[1]["skipped_because"] is None
    assert len(rows[1]["option_scores"]) == 2
    for row in (rows[0], rows[2]):
        assert row["value"] is None
        assert "tokens, the model's context holds 40" in row["skipped_because"]


def test_scores_do_not_depend_on_what_is_shared(long_model: Path):
    engine = TransformersEngine(long_model)
    shots = "One. Two. Three.\n\n"
    apart = [item(str(n), shots + f"Question {n}?", " yes", " no, never") for n in range(3)]
    shared = [item(str(n), f"Question {n}?", " yes", " no, never", prefix=shots) for n in range(3)]
    first, second = (score_items(engine, items, "b", "m") for items in (apart, shared))
    for a, b in zip(first, second, strict=True):
        assert a["option_scores"] == pytest.approx(b["option_scores"], abs=1e-4)


def test_greedy_items_agree_with_greedy_decoding(long_model: Path):
    from models.engines.protocol import SamplingSettings

    engine = TransformersEngine(long_model)
    context = "The sun is up"
    written = engine.generate(context, [""], [0], SamplingSettings(1, temperature=0)).pop().text
    items = [item(word, context, option, greedy=True) for word, option in (("own", written), ("other", " zebra"))]
    values = [row["value"] for row in score_items(engine, items, "lambada", "m")]
    scores = engine.read_options([(context, [written, " zebra"])])[0]
    assert values == [float(score.is_greedy) for score in scores]
    assert values[1] == 0.0


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_the_projects_own_templates_parse(name: str):
    path = builtin_template(name)
    template = load_template(name, str(path), path.read_text())
    assert len(template.options) == TEMPLATES[name][1]
    assert not template.text.endswith(" ")


def test_mmlu_has_another_template_behind_shots():
    assert template_name(Benchmark.MMLU, 0) == "mmlu"
    assert template_name(Benchmark.MMLU, 5) == "mmlu_few_shot"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{question}", "### options"),
        ("### options: A\n{question}", "names 2 distinct"),
        ("### options: A | A\n{question}", "names 2 distinct"),
        ("### options: A | B\nWell?", "lacks {question}"),
        ("### options: A | B\n{question} {anser}", "has {anser}"),
    ],
)
def test_wrong_templates_are_refused(text: str, part: str):
    with pytest.raises(ConfigError, match=r"mine\.txt") as raised:
        parse_template("mine.txt", text, ("question",), 2)
    assert part in str(raised.value)


def test_the_models_own_chat_template(long_model: Path):
    tokenizer, _ = open_tokenizer(long_model)
    with pytest.raises(ConfigError, match="chat template"):
        Rendering(PromptStyle.CHAT, tokenizer)
    prepare_tokenizer(tokenizer)
    text = "### options: A | B\nHuman: Choose. {question}\n\nAssistant: Sure! It is"
    template = parse_template("mine.txt", text, ("question",), 2)
    rendering = Rendering(PromptStyle.CHAT, tokenizer)
    values = {"question": "Is {question} it?"}
    assert rendering.render(template, values) == "Human: Choose. Is {question} it?\n\nAssistant: Sure! It is"
    _, shown = rendering.render_shots(template, values, [({"question": "One?"}, "B")])
    assert shown.startswith("Human: Choose. One?\n\nAssistant: Sure! It is B</s>\n\nHuman: Choose. Is")
