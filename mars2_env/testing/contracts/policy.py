"""What environments and the engine rely on in a policy."""

from __future__ import annotations

from mars2_env import Episode, Policy, ProblemSet, Reply, Rules, Turn, Verdict, load_problems


class PolicyContract:
    """The contract of a `Policy`; inherit it and write `make_policy`.

    Attributes:
        deterministic: whether a reply is a function of (turn, seed), as replay and paired comparisons want it. Set it
            to False for a policy whose replies depend on which turns are asked together, such as a language model.
    """

    deterministic = True

    def make_policy(self) -> Policy:
        """Return a new policy; what it has to know of the problems is in `problems`."""
        raise NotImplementedError("write make_policy(self), which returns a new policy.")

    def problems(self) -> ProblemSet:
        """Return the problems that the tests ask for; at least two."""
        return load_problems("starter", limit=3)

    def _opened(self, *, picks: bool) -> list[Turn]:
        """Return one turn for each problem: on an empty tree, on one node, on two, and so on."""
        found = []
        for number, problem in enumerate(self.problems()):
            view = problem.public_view()
            rules = Rules(game="play") if picks else Rules()
            selector = None if picks else "sequential_refinement"
            episode = Episode(view, ["coder_0", "fixer_0"], selector, 2 * len(self.problems()), number, rules=rules)
            wrong = Verdict({"public": tuple("wrong_answer" for _ in view.public or (None,))})
            for step in range(number):
                episode.tell(episode.ask(), Reply(f"print({step})", parent=step if picks else None), wrong)
            found.append(episode.ask())
        return found

    def test_it_has_the_method_of_a_policy(self) -> None:
        """It is an object with `act`."""
        policy = self.make_policy()
        assert isinstance(policy, Policy) and not isinstance(policy, type), f"{policy!r} is no object with act(turns)."

    def test_a_batch_gets_one_reply_each(self) -> None:
        """A list of turns, fresh ones and refinements, gets a list of as many `Reply`s."""
        turns = self._opened(picks=False)
        replies = self.make_policy().act(list(turns))
        assert isinstance(replies, list), f"act returned {type(replies).__name__}, not a list."
        assert len(replies) == len(turns), f"act returned {len(replies)} replies for {len(turns)} turns."
        assert all(isinstance(reply, Reply) for reply in replies), f"not every reply is a Reply: {replies!r:.300}"

    def test_no_turns_get_no_replies(self) -> None:
        """An empty batch is no error."""
        replies = self.make_policy().act([])
        assert replies == [], f"act([]) returned {replies!r:.200}, not []."

    def test_replies_come_in_the_order_of_the_turns(self) -> None:
        """Asked together or one by one, each turn gets its own reply (deterministic policies)."""
        if not self.deterministic:
            return
        turns = self._opened(picks=False)
        together = self.make_policy().act(list(turns))
        alone = [self.make_policy().act([turn])[0] for turn in turns]
        assert together == alone, "the replies to a batch are not those to its turns one by one, in order."
        assert self.make_policy().act(turns[::-1]) == alone[::-1], "the replies do not follow the order of the turns."

    def test_the_same_turn_gets_the_same_reply(self) -> None:
        """A new policy, and the same one asked again, say the same (deterministic policies)."""
        if not self.deterministic:
            return
        turns = self._opened(picks=False)
        policy = self.make_policy()
        first = policy.act(list(turns))
        assert self.make_policy().act(list(turns)) == first, "a second policy replies otherwise to the same turns."
        assert policy.act(list(turns)) == first, "the same policy replies otherwise when it is asked again."

    def test_where_the_agent_picks_it_names_a_parent_on_offer(self) -> None:
        """In `play` the turn's `parent` is None, and the reply names one of `turn.parents`."""
        turns = self._opened(picks=True)
        for turn, reply in zip(turns, self.make_policy().act(list(turns)), strict=True):
            assert reply.parent in turn.parents, f"parent={reply.parent} is not on offer; these are: {turn.parents}."

    def test_where_a_selector_picked_it_does_not_name_another_parent(self) -> None:
        """In `write` the place is settled: the reply names none, or that one."""
        turns = self._opened(picks=False)
        for turn, reply in zip(turns, self.make_policy().act(list(turns)), strict=True):
            assert reply.parent in (None, turn.parent), f"parent={reply.parent}, and the selector picked {turn.parent}."

    def test_it_leaves_the_batch_as_it_is(self) -> None:
        """The list of turns is the caller's."""
        turns = self._opened(picks=False)
        given = list(turns)
        self.make_policy().act(given)
        assert given == turns, "act changed the list of turns that it was given."
