"""How often something may happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assurebot.guard.rates import ToolRates, Window, repeated

FETCH = "fetch_url"


def refusal(rates: ToolRates, calls: int, now: float = 0.0, *, apart: bool = False) -> str | None:
    """Fetch so often, each time for another person and chat if `apart`; return the last word."""
    said = None
    for number in range(calls):
        who = number if apart else 1
        said = rates.take(FETCH, None if apart else 20, who, who, now)
    return said


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 12))))
def test_no_stretch_of_time_has_more_than_the_limit(
    limit: int, asked: list[tuple[str, int]]
) -> None:
    """Whoever takes only what is free never takes more than `limit` within 10 s; keys are apart."""
    window, now = Window(limit, 10), 0
    taken: dict[str, list[int]] = {"a": [], "b": []}
    for key, pause in asked:
        now += pause
        within = [at for at in taken[key] if at > now - 10]
        assert (window.wait(key, now) == 0.0) == (len(within) < limit)
        if window.wait(key, now) == 0.0:
            window.take(key, now)
            taken[key].append(now)


@given(st.integers(1, 4), st.lists(st.integers(0, 5), min_size=1), st.integers(0, 20))
def test_a_wait_shrinks_as_time_goes_by_and_is_no_longer_than_needed(
    limit: int, pauses: list[int], later: int
) -> None:
    """What is to be waited for is what is left of it later, and after it the key is free."""
    window, now = Window(limit, 10), 0
    for pause in pauses:
        now += pause + int(window.wait("a", now))
        window.take("a", now)
    wait = window.wait("a", now)
    assert window.wait("a", now + later) == max(0.0, wait - later)
    assert 0.0 <= wait <= 10.0


def test_old_keys_vanish() -> None:
    """Only keys of the last stretch are held in memory, and a forgotten one is simply free."""
    window = Window(1, 60)
    for key in range(10_000):
        window.take(key, float(key))
    assert len(window._taken) == 60  # nothing else shows it
    assert (window.wait(9_000, 9_999.0), window.wait(9_999, 9_999.0)) == (0.0, 60.0)


@pytest.mark.parametrize(("now", "seconds"), [(0.0, 60), (46.2, 14), (59.9, 1)])
def test_one_person_and_tool(now: float, seconds: int) -> None:
    """The refusal names the tool, its limit and whole seconds after which it is free."""
    rates = ToolRates()
    assert refusal(rates, 20) is None
    said = f"at most 20 calls of fetch_url a minute; try again in {seconds} s"
    assert rates.take(FETCH, 20, 1, 1, now) == said
    assert rates.take("run_code", 10, 1, 1, now) is None
    assert rates.take(FETCH, 20, 2, 2, now) is None
    assert rates.take(FETCH, 20, 1, 1, 60.0) is None


def test_one_chat() -> None:
    """All tools and people of a chat share 30 calls a minute; other chats have their own."""
    rates = ToolRates()
    for number in range(30):
        assert rates.take(f"tool{number}", None, number, 7, 0.0) is None
    said = "at most 30 tool calls in this chat a minute; try again in 50 s"
    assert rates.take("recall", None, 1, 7, 10.0) == said
    assert rates.take("recall", None, 1, 8, 10.0) is None


def test_all_together() -> None:
    """Everyone together has 100 calls a minute."""
    rates = ToolRates()
    assert refusal(rates, 100, apart=True) is None
    said = "at most 100 tool calls in all a minute; try again in 60 s"
    assert rates.take("recall", None, 500, 500, 0.0) == said


def test_the_longest_wait_is_told() -> None:
    """The time is that at which all limits are free; of equal ones the closest is named."""
    rates = ToolRates()
    for _ in range(20):
        rates.take(FETCH, 20, 1, 1, 0.0)
    for _ in range(10):
        rates.take("recall", None, 1, 1, 30.0)
    said = "at most 20 calls of fetch_url a minute; try again in 20 s"
    assert rates.take(FETCH, 20, 1, 1, 40.0) == said
    for _ in range(20):
        rates.take("recall", None, 1, 1, 60.0)
    assert rates.take(FETCH, 20, 1, 1, 61.0) == (
        "at most 30 tool calls in this chat a minute; try again in 29 s"
    )


def test_what_is_refused_counts_nowhere() -> None:
    """A loop of refused calls takes nothing from the chat, from others, or from later."""
    rates = ToolRates()
    assert refusal(rates, 500) is not None
    for _ in range(10):
        assert rates.take("recall", None, 1, 1, 1.0) is None
    for number in range(70):
        assert rates.take("recall", None, 2, 100 + number, 1.0) is None
    assert refusal(rates, 20, 60.0) is None


def test_the_third_of_the_same_calls_is_a_loop() -> None:
    """The same name with the same arguments runs twice in a turn; any difference is another."""
    call = ("fetch_url", '{"url":"https://a.example/"}')
    others = [("fetch_url", "{}"), ("recall", call[1])]
    assert [repeated([*others, *[call] * made], call) for made in range(5)] == [
        *(False, False),
        *(True, True, True),
    ]
