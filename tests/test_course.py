"""The course of a tree is a state machine: it says what is to be done, and takes what came of it in any order."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import toys

import mars2_env
from mars2_env import Episode, Problem, PublicView, Reply, Rules, SandboxError, TestCase, Verdict
from mars2_env.engine import Ask, Course, Grade, Plant, Rate, Work
from mars2_env.episode import Event, Told
from mars2_env.log import Trace
from mars2_env.prompt import programs

RIGHT = Verdict(groups={"public": ("passed", "passed")})
WRONG = Verdict(groups={"public": ("wrong_answer", "not_run")})
TESTS = (TestCase("1", "1"),)
REPAIR = Problem("fix/1", "Mend it.", public=TESTS, hidden=TESTS, seed_program="print(7)")


def episode(problem: PublicView | None = None, budget: int = 12, **options: Any) -> tuple[Episode, list[Event]]:
    events: list[Event] = []
    made = Episode(
        problem or toys.problem(1).public_view(),
        ["a_0", "b_0"],
        "ab_mcts_a",
        budget,
        3,
        rules=Rules(**options),
        on_event=events.append,
    )
    return made, events


def verdict(program: str) -> Verdict:
    return RIGHT if "print(1)" in program else WRONG


def rated(programs: Sequence[str]) -> list[float]:
    return [len(program) % 7 / 7 for program in programs]


def run(course: Course, draw: Random, policy: toys.Guesser, asked_about: list[tuple[str, ...]] | None = None) -> None:
    """Do the work that a course hands out, in an order that is drawn."""
    work = course.begin()
    while work:
        one = work.pop(draw.randrange(len(work)))
        match one:
            case Ask(turn):
                work += course.replied(turn, policy.reply(turn), Trace(turn.id))
            case Grade(turn, submission):
                work += course.graded(turn, verdict(submission.program or ""))
            case Plant(program):
                work += course.planted(verdict(program))
            case Rate(programs):
                if asked_about is not None:
                    asked_about.append(programs)
                work += course.rated(rated(programs))
    assert course.done


@pytest.mark.parametrize("in_flight", [1, 2, 5])
@pytest.mark.parametrize("model", [False, True])
def test_events_do_not_depend_on_what_comes_in_first(in_flight: int, model: bool) -> None:
    def events(order: int) -> list[Event]:
        made, found = episode(model_weight=0.5 if model else 0.0)
        run(Course(made, in_flight=in_flight, rated=model), Random(order), toys.Guesser())
        return found

    first = events(0)
    assert sum(isinstance(event, Told) for event in first) == 12
    assert all(events(order) == first for order in range(1, 12))


def test_a_reward_model_is_asked_about_all_programs_that_wait_and_about_none_twice() -> None:
    made, _ = episode()
    asked_about: list[tuple[str, ...]] = []
    run(Course(made, in_flight=4, rated=True), Random(1), toys.Guesser(), asked_about)
    programs = [program for batch in asked_about for program in batch]
    assert max(map(len, asked_about)) > 1
    assert len(set(programs)) == len(programs) == sum(node.duplicate_of is None for node in made.nodes)
    assert all(node.model_score == rated([node.program or ""])[0] for node in made.nodes)


def test_a_reply_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    extract = programs.extract_program

    def counted(reply: str, defines: str | None = None) -> str | None:
        parsed.append(reply)
        return extract(reply, defines)

    monkeypatch.setattr("mars2_env.episode.episode.extract_program", counted)
    made, _ = episode()
    run(Course(made, in_flight=2, rated=True), Random(0), toys.Guesser())
    assert len(parsed) == len(made.nodes) == 12


def test_two_equal_programs_in_flight_are_an_original_and_its_copy() -> None:
    made, _ = episode(budget=2)
    course = Course(made, in_flight=2)
    first, second = (one.turn for one in course.begin() if isinstance(one, Ask))
    for turn in (first, second):
        (grade,) = course.replied(turn, Reply("```python\nprint(5)\n```"), Trace(turn.id))
        assert isinstance(grade, Grade)
    assert course.graded(second, WRONG) == []  # it waits for the one that was asked for before it
    assert course.graded(first, WRONG) == []
    assert [node.duplicate_of for node in made.nodes] == [None, 1]


def test_a_fault_voids_its_turn_or_is_raised_when_it_falls_due() -> None:
    fault = SandboxError("the engine is gone")
    made, _ = episode(budget=2)
    course = Course(made)
    (ask,) = course.begin()
    assert isinstance(ask, Ask)
    course.replied(ask.turn, Reply("```python\nprint(5)\n```"), Trace(0))
    (again,) = course.graded(ask.turn, fault)
    assert isinstance(again, Ask)
    assert (again.turn.agent, again.turn.parent, again.turn.seed) == (ask.turn.agent, ask.turn.parent, ask.turn.seed)
    raising = Course(episode(budget=2)[0], on_fault="raise")
    (ask,) = raising.begin()
    assert isinstance(ask, Ask)
    raising.replied(ask.turn, Reply("```python\nprint(5)\n```"), Trace(0))
    with pytest.raises(SandboxError, match="the engine is gone"):
        raising.graded(ask.turn, fault)


@pytest.mark.parametrize("fault", [False, True])
def test_a_repair_begins_with_its_seed_program_or_ends_with_the_fault_that_kept_it_ungraded(fault: bool) -> None:
    made, _ = episode(REPAIR.public_view(), budget=2)
    course = Course(made)
    work: list[Work] = course.begin()
    assert work == [Plant("print(7)")]
    asked = course.planted(SandboxError("gone") if fault else WRONG)
    assert (made.ended, len(asked)) == (("faults", 0) if fault else (None, 1))


def test_what_comes_in_after_the_end_counts_for_nothing() -> None:
    made, events = episode(budget=9, stop_on_solved=True)
    course = Course(made, in_flight=3)
    turns = [one.turn for one in course.begin() if isinstance(one, Ask)]
    for turn, number in zip(turns, (1, 8, 9), strict=True):
        course.replied(turn, Reply(f"```python\nprint({number})\n```"), Trace(turn.id))
    course.graded(turns[0], RIGHT)
    told = len(events)
    assert (course.done, course.graded(turns[1], WRONG), course.graded(turns[2], WRONG)) == (True, [], [])
    assert len(events) == told


@pytest.mark.parametrize("in_flight", [1, 3, 4])
def test_a_model_whose_scores_depend_on_what_else_it_is_asked_about_gives_the_same_tree(in_flight: int) -> None:
    def events(order: int) -> list[Event]:
        made, found = episode(model_weight=0.5)
        course, draw = Course(made, in_flight=in_flight, rated=True), Random(order)
        work = course.begin()
        while work:
            match work.pop(draw.randrange(len(work))):
                case Ask(turn):
                    work += course.replied(turn, toys.Guesser(40).reply(turn), Trace(turn.id))
                case Grade(turn, submission):
                    work += course.graded(turn, verdict(submission.program or ""))
                case Rate(programs):
                    work += course.rated([1 / (1 + len(programs) + place) for place in range(len(programs))])
        return found

    first = events(0)
    assert all(events(order) == first for order in range(1, 12))


@pytest.mark.parametrize("in_flight", [1, 4])
def test_where_turns_meet_faults_the_tree_does_not_depend_on_what_comes_in_first(in_flight: int) -> None:
    def events(order: int) -> list[Event]:
        made, found = episode(max_faults=50)
        course, draw = Course(made, in_flight=in_flight), Random(order)
        work = course.begin()
        while work:
            match work.pop(draw.randrange(len(work))):
                case Ask(turn):
                    work += course.replied(turn, toys.Guesser(3).reply(turn), Trace(turn.id))
                case Grade(turn, submission):
                    fault = SandboxError("gone") if turn.id % 3 == 0 else None
                    work += course.graded(turn, fault or verdict(submission.program or ""))
        return found

    first = events(0)
    assert all(events(order) == first for order in range(1, 20))


def test_a_course_that_is_driven_against_its_protocol_says_so_and_goes_on() -> None:
    for wrong in ({"in_flight": 0}, {"in_flight": 2.5}, {"on_fault": "nope"}):
        with pytest.raises(mars2_env.ConfigError, match=next(iter(wrong))):
            Course(episode()[0], **wrong)  # type: ignore[arg-type]
    with pytest.raises(mars2_env.ConfigError, match="of an Episode"):
        Course(3)  # type: ignore[arg-type]
    made, _ = episode(budget=1)
    course: Any = Course(made, rated=True)
    (ask,) = course.begin()
    reply, trace = Reply("```python\nprint(5)\n```"), Trace(0)
    refused = (
        (course.begin, (), "has begun already"),
        (course.graded, (ask.turn, WRONG), "waits for a reply"),
        (course.replied, (3, reply, trace), "is no turn"),
        (course.replied, (ask.turn, "text", trace), "is no reply"),
        (course.replied, (ask.turn, reply, Trace(77)), "is not its trace"),
        (course.rated, ([0.5],), "1 scores for 0 programs"),
    )
    for act, arguments, message in refused:
        with pytest.raises(mars2_env.EpisodeError, match=message):
            act(*arguments)
    (grade,) = course.replied(ask.turn, reply, trace)
    with pytest.raises(mars2_env.EpisodeError, match="has been replied to"):
        course.replied(ask.turn, reply, trace)
    with pytest.raises(mars2_env.EpisodeError, match="neither a verdict nor a SandboxError"):
        course.graded(ask.turn, None)
    (rate,) = course.graded(grade.turn, WRONG)
    with pytest.raises(mars2_env.EpisodeError, match="2 scores for 1 programs"):
        course.rated([0.5, 0.5])
    with pytest.raises(mars2_env.ConfigError, match="model_score 2 is not a number"):
        course.rated([2])
    assert course.rated([0.5]) == []
    assert (course.done, rate.programs, made.nodes[0].model_score) == (True, ("print(5)\n",), 0.5)


def test_a_turn_of_another_course_is_refused() -> None:
    course, other = (Course(episode()[0]) for _ in range(2))
    course.begin()
    made, _ = episode()
    made.ask()
    later = made.pending[0]
    course.replied(later, Reply("no program"), Trace(0))
    with pytest.raises(mars2_env.EpisodeError, match="is not on its way in this course"):
        other.replied(later, Reply("no program"), Trace(0))
