"""Multiple choice by likelihood: ties, what does not fit, both prompt styles, and templates that a person wrote."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import ConfigError
from data_contracts.tables.evaluations import EvaluatedItem
from models.engines.transformers_engine import TransformersEngine
from models.evaluation.benchmarks.catalogue import BENCHMARKS, benchmark_named, benchmark_of
from models.evaluation.benchmarks.choice_items import Choice, ChoiceItem, choice_value, score_items
from models.evaluation.benchmarks.prompt_template import PromptStyle, Rendering, builtin_template, parse_template
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
    assert EvaluatedItem.to_table(rows).num_rows == len(rows)
    assert [row.item_id for row in rows] == ["b", "a", "c"]
    assert rows[1].skipped_because is None
    assert len(rows[1].option_scores or ()) == 2
    for row in (rows[0], rows[2]):
        assert row.value is None
        assert "tokens, the model's context holds 40" in str(row.skipped_because)


def test_scores_do_not_depend_on_what_is_shared(long_model: Path):
    engine = TransformersEngine(long_model)
    shots = "One. Two. Three.\n\n"
    apart = [item(str(n), shots + f"Question {n}?", " yes", " no, never") for n in range(3)]
    shared = [item(str(n), f"Question {n}?", " yes", " no, never", prefix=shots) for n in range(3)]
    first, second = (score_items(engine, items, "b", "m") for items in (apart, shared))
    for a, b in zip(first, second, strict=True):
        assert a.option_scores == pytest.approx(b.option_scores, abs=1e-4)


def test_greedy_items_agree_with_greedy_decoding(long_model: Path):
    from models.engines.protocol import SamplingSettings

    engine = TransformersEngine(long_model)
    context = "The sun is up"
    written = engine.generate(context, [""], [0], SamplingSettings(1, temperature=0)).pop().text
    items = [item(word, context, option, greedy=True) for word, option in (("own", written), ("other", " zebra"))]
    values = [row.value for row in score_items(engine, items, "lambada", "m")]
    scores = engine.read_options([(context, [written, " zebra"])])[0]
    assert values == [float(score.is_greedy) for score in scores]
    assert values[1] == 0.0


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_projects_own_templates_parse(name: str):
    benchmark = BENCHMARKS[name]
    for file in benchmark.template_names():
        path = builtin_template(file)
        template = benchmark.parse_template(str(path), path.read_text())
        assert len(template.options) == benchmark.options
        assert not template.text.endswith(" ")


def test_mmlu_has_another_template_behind_shots():
    assert BENCHMARKS["mmlu"].template_name(0) == "mmlu"
    assert BENCHMARKS["mmlu"].template_name(5) == "mmlu_few_shot"
    assert BENCHMARKS["lambada"].template_name(5) == "lambada", "it has no examples to show"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_has_as_many_published_figures_as_columns(name: str):
    paper = BENCHMARKS[name].paper
    assert {len(figures) for figures in paper.published.values()} <= {len(paper.columns)}  # one of our own has none


def test_published_losses_are_those_of_the_papers_table_2():
    losses = {name: benchmark.paper.published_losses() for name, benchmark in BENCHMARKS.items()}
    assert losses["mmlu"] == pytest.approx({"Alpaca 7B": -9.0, "ALMoST SFT 7B": -0.2, "ALMoST PPO 7B": 2.4})
    assert losses["lambada"] == pytest.approx({"Alpaca 7B": 8.0, "ALMoST SFT 7B": 4.1, "ALMoST PPO 7B": 6.7})
    assert losses["static_hhh"] == losses["truthfulqa_mc1"] == {}, "the paper gives no figure of its base"


def test_a_benchmark_is_found_by_its_name_and_by_the_title_of_its_items():
    mmlu = benchmark_named("mmlu", "f")
    assert benchmark_of("mmlu") is benchmark_of("mmlu_5shot") is mmlu
    assert benchmark_of("gold_questions") is benchmark_of("preferences:x.jsonl") is None
    with pytest.raises(ConfigError, match="f: unknown benchmark 'chess'; known: static_hhh, truthfulqa_mc1, mmlu"):
        benchmark_named("chess", "f")


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
