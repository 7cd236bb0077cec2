"""Judged answers: rules on words, a judge that looks, repairs that are checked, and asking again with the reason."""

import json

import numpy as np
import pytest
from colour_teacher import name_of

from components.teachers.ask import Account
from components.teachers.cache import AnswerCache
from components.teachers.judge import Case, Judge, Statement, Verdict
from components.teachers.judged import Asking, Reading, Subject
from components.teachers.ledger import totals
from components.teachers.protocol import Answer, Identity, Question, Teacher
from components.teachers.rules import against

TRUE, FALSE = "It is a dark picture of a wall.", "It is a bright picture of a wall."


# Rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("positive", "negative", "phrases", "says"), [
    (TRUE, FALSE, (), ""),
    (TRUE, FALSE, ("a wall", "feeding the dogs"), ""),
    ("A man is rowing a boat on a lake.", FALSE, (), "names 'rowing'"),
    (TRUE, "A man is Rowing, on a lake.", (), "names 'rowing'"),
    (TRUE, FALSE, ("feeding a dog",), "names 'feeding a dog'"),
    (TRUE, FALSE, ("a growing boy",), ""),  # a part of a word is no name
    ("Yes.", FALSE, (), "what is true has 1 words"),
    (TRUE, "word " * 61, (), "what is false has 61 words"),
    ("I am sorry, I cannot tell what this is.", FALSE, (), "refusal"),
    ("Ein Mann steht neben einem Pferd.", FALSE, (), "not English"),
    ("男の人が馬の隣に立っています 犬 猫", FALSE, (), "what is true"),
    (TRUE, TRUE.upper(), (), "the same"),
    ("It is painting.", FALSE, (), "repeats the label"),
])
def test_rules_on_words(positive, negative, phrases, says):
    found = against(positive, negative, phrases, "painting", ("rowing", "feeding a dog"))
    assert (says in found) if says else found == ""


# A judge that scores ---------------------------------------------------------------------------------------------


class Lightmeter(Teacher):
    """Scores texts by how well "bright" and "dark" in them agree with the pixels; draws no text."""

    identity, decoding = Identity("embedded", "lightmeter", "1"), {}

    def __init__(self):
        self.batches = []

    def score(self, images, candidates):
        self.batches.append(len(images))
        light = np.array([image.load().mean() / 255 for image in images])[:, None]
        bright = np.array([("bright" in c) - ("dark" in c) for c in candidates])[None]
        logits = 8 * (light - 0.5) * bright
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def case(name: str, level: int, statement: Statement, label: str = "") -> Case:
    return Case(name, lambda: np.full((10, 10, 3), level, np.uint8), label, 0, statement)


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path / "answers")


def test_a_scoring_judge_wants_the_true_sentence_likelier(cache):
    meter = Lightmeter()
    judge = Judge(meter, cache, Account("run"), ["rowing"])
    cases = [case(f"{n}", 255 * (n % 2), Statement(TRUE, FALSE)) for n in range(100)]
    cases[7] = case("7", 0, Statement("A man is rowing a dark boat.", FALSE))
    found = judge.verdicts(cases)
    assert [v.decision for v in found] == ["rejected" if n % 2 else "accepted" for n in range(100)]
    assert "fits better" in found[1].reason and found[1].by == "embedded:lightmeter"
    assert found[7].by == "rules"
    assert meter.batches == [64, 35]


# A judge that is asked -------------------------------------------------------------------------------------------


class Critic(Teacher):
    """Answers a judge's question from the pixels; `reply` may spoil what it says."""

    identity, decoding = Identity("openai", "critic", "1"), {"temperature": 0}

    def __init__(self, reply=lambda verdict: verdict):
        self.reply, self.prompts = reply, []

    def stream(self, images, questions):
        for i, (image, question) in enumerate(zip(images, questions, strict=True)):
            self.prompts.append(question.prompt)
            light = "bright" if image.load().mean() > 127 else "dark"
            pairs = json.loads(question.prompt[question.prompt.index("\n") + 1:])
            verdicts = [self.reply({
                "number": p["number"], "true_holds": light in p["true"], "false_fails": light not in p["false"],
                "true": TRUE.replace("dark", light), "false": FALSE.replace("bright", "striped"),
                "reason": f"it is {light}"}) for p in pairs]
            yield i, Answer(json.dumps({"verdicts": verdicts}), 0.1, 100, 10)


def test_an_asked_judge_accepts_and_repairs_all_of_a_picture_in_one_question(cache):
    critic = Critic()
    judge = Judge(critic, cache, Account("run"))
    pair = [Statement(TRUE, FALSE), Statement(FALSE, TRUE, box=(0.0, 0.0, 1.0, 1.0))]
    cases = [Case(name_of(n), lambda: np.zeros((4, 4, 3), np.uint8), "", i, s)
             for n in range(3) for i, s in enumerate(pair)]
    found = judge.verdicts(cases)
    assert [v.decision for v in found] == ["accepted", "repaired"] * 3
    assert found[1].positive == TRUE and "striped" in found[1].negative and found[1].reason == "it is dark"
    assert len(critic.prompts) == 3 and '"box": [0.0, 0.0, 1.0, 1.0]' in critic.prompts[0]
    assert totals(cache, "kind")["judge"].requests == 3 and judge.counts.asked == 3
    again = Judge(Critic(), cache, Account("other"))
    assert again.verdicts(cases) == found and again.counts.asked == 0


@pytest.mark.parametrize(("reply", "reason"), [
    (lambda v: v | {"true": "", "false": ""}, "not supported: it is dark"),
    (lambda v: v | {"true": "Yes."}, "not supported"),  # a repair must pass the rules
    (lambda v: v | {"true": "The man is rowing a boat."}, "not supported"),
    (lambda v: v | {"true": "the " * 200}, "not supported"),
    (lambda v: v | {"true": FALSE, "false": TRUE}, "not supported"),  # nothing repaired
    (lambda v: v | {"true_holds": "yes", "false_fails": 1, "true": FALSE, "false": TRUE}, "not supported"),
    (lambda v: v | {"number": 7}, "not judged: no verdict"),
    (lambda v: v | {"number": "one"}, "not judged: not the JSON"),
    (lambda v: 3, "not judged: not the JSON"),
])
def test_what_a_judge_says_is_untrusted(cache, reply, reason):
    wrong = Case(name_of(1), lambda: np.zeros((4, 4, 3), np.uint8), "", 0, Statement(FALSE, TRUE))
    (found,) = Judge(Critic(reply), cache, Account("run"), ["rowing"]).verdicts([wrong])
    assert found.decision == "rejected" and reason in found.reason and len(found.reason) < 400


# Asking, judging, asking again -----------------------------------------------------------------------------------


class Liar(Teacher):
    """Says of every picture that it is dark, until its prompt says that this was turned down."""

    identity = Identity("openai", "liar", "1")

    def __init__(self, decoding=None, refuses=False):
        self.decoding, self.refuses, self.asked = {"seed": 1} if decoding is None else decoding, refuses, []

    def stream(self, images, questions):
        for i, (image, question) in enumerate(zip(images, questions, strict=True)):
            self.asked.append(question.version)
            turned_down = "turned down" in question.prompt
            if turned_down and self.refuses:
                yield i, Answer("", failure="it will not look again")
            elif turned_down and image.load().mean() > 127:
                yield i, Answer(json.dumps([FALSE, TRUE]), 0.5, 7, 3)
            else:
                yield i, Answer(json.dumps([TRUE, FALSE]), 0.5, 7, 3)


def read(_question, answer):
    if answer.failure:
        return answer.failure
    return Statement(*json.loads(answer.text))


READING = Reading(read, lambda _, answer, mended: Answer(json.dumps([mended.positive, mended.negative]),
                                                         *(answer.seconds, answer.tokens_in, answer.tokens_out)))
LOOK = Question("look", "Is it bright?", "look/1")


def subjects(*levels):
    return [Subject(name_of(n), lambda level=level: np.full((4, 4, 3), level, np.uint8), "", [LOOK])
            for n, level in enumerate(levels)]


def judged(asking, *levels):
    return [said for _, (said,) in asking.about(subjects(*levels))]


def test_without_a_judge_what_can_be_read_is_accepted(cache):
    liar = Liar()
    found = judged(Asking(liar, cache, Account("run"), READING, again=3), 0, 255)
    assert [f.verdict for f in found] == [Verdict("accepted", "")] * 2 and liar.asked == ["look/1"] * 2


def test_a_rejected_answer_is_asked_again_with_the_reason(cache):
    liar, told = Liar(), []
    asking = Asking(liar, cache, Account("run"), READING, judge=Judge(Lightmeter(), cache, Account("run")), again=2,
                    progress=told.append)
    dark, bright = judged(asking, 0, 255)
    assert (dark.verdict.decision, dark.attempts) == (bright.verdict.decision, bright.attempts - 1) == ("accepted", 1)
    assert json.loads(bright.entry.answer.text) == [FALSE, TRUE]
    assert liar.asked == ["look/1", "look/1", "look/1+1"]
    assert (asking.counts.samples, asking.counts.asked) == (2, 3) and told[-1] == asking.counts


def test_after_the_last_attempt_it_fails_with_the_reason(cache):
    liar = Liar(refuses=True)
    asking = Asking(liar, cache, Account("run"), READING, judge=Judge(Lightmeter(), cache, Account("run")), again=2)
    (bright,) = judged(asking, 255)
    assert bright.entry.answer.text == "" and "fits better" in bright.entry.answer.failure  # not what it refused with
    assert bright.attempts == 1 and liar.asked == ["look/1"] * 1 + ["look/1+1"] * 2


@pytest.mark.parametrize(("decoding", "again"), [({}, 3), ({"seed": 1}, 0)])
def test_a_teacher_that_reads_no_prompt_is_asked_once(cache, decoding, again):
    liar = Liar(decoding)
    asking = Asking(liar, cache, Account("run"), READING, judge=Judge(Lightmeter(), cache, Account("run")), again=again)
    (bright,) = judged(asking, 255)
    assert bright.verdict.decision == "rejected" and len(liar.asked) == 1


def test_a_repaired_answer_holds_the_repair_and_the_cache_the_original(cache):
    asking = Asking(Liar(), cache, Account("run"), READING, judge=Judge(Critic(), cache, Account("run")))
    (bright,) = judged(asking, 255)
    assert bright.verdict.decision == "repaired" and json.loads(bright.entry.answer.text)[0] == FALSE
    assert cache.get_many([bright.entry.key])[bright.entry.key].answer.text == json.dumps([TRUE, FALSE])


def test_a_second_run_judges_alike_and_asks_nobody(cache):
    def run():
        liar, critic = Liar(), Critic(lambda v: v | {"true": ""})
        asking = Asking(liar, cache, Account("run"), READING, judge=Judge(critic, cache, Account("run")), again=1)
        return judged(asking, 0, 255, 255), len(liar.asked) + len(critic.prompts)

    first, asked = run()
    assert asked == 3 + 3 + 2 + 2
    assert run() == (first, 0)


