"""Only listed people reach anything, whatever kind of update it is."""

import pytest

from assurebot.guard.access import SHARED_USERS, Access, ChatKind, Verdict

OWNER, FRIEND, STRANGER = 11, 22, 33
GROUP, OTHER_GROUP, CHANNEL = -100, -200, -300

ACCESS = Access(owner=OWNER, users=frozenset((OWNER, FRIEND)), chats=frozenset((GROUP, CHANNEL)))

ALLOWED = Verdict(allowed=True, rule="user:listed")
NO_SENDER = Verdict(allowed=False, rule="no-sender")
NOT_LISTED = Verdict(allowed=False, rule="user:not-listed")
WRONG_CHAT = Verdict(allowed=False, rule="chat:not-listed", leave=True)


@pytest.mark.parametrize(
    ("user_id", "chat_id", "chat_kind", "verdict"),
    [
        (OWNER, OWNER, "private", ALLOWED),
        (FRIEND, FRIEND, "private", ALLOWED),
        (STRANGER, STRANGER, "private", NOT_LISTED),
        (STRANGER, OWNER, "private", NOT_LISTED),
        (None, OWNER, "private", NO_SENDER),
        (0, 0, "private", NOT_LISTED),
        (-OWNER, OWNER, "private", NOT_LISTED),
        (FRIEND, GROUP, "group", ALLOWED),
        (STRANGER, GROUP, "group", NOT_LISTED),
        (None, GROUP, "group", NO_SENDER),
        (GROUP, GROUP, "group", NOT_LISTED),
        (OWNER, OTHER_GROUP, "group", WRONG_CHAT),
        (STRANGER, OTHER_GROUP, "group", WRONG_CHAT),
        (None, OTHER_GROUP, "group", WRONG_CHAT),
        (OWNER, None, "group", WRONG_CHAT),
        (OWNER, CHANNEL, "channel", Verdict(allowed=False, rule="channel")),
        (OWNER, OTHER_GROUP, "channel", Verdict(allowed=False, rule="channel", leave=True)),
        (None, OTHER_GROUP, "channel", Verdict(allowed=False, rule="channel", leave=True)),
        (OWNER, None, "none", ALLOWED),
        (STRANGER, None, "none", NOT_LISTED),
        (None, None, "none", NO_SENDER),
    ],
)
def test_access_goes_by_ids_alone(
    user_id: int | None, chat_id: int | None, chat_kind: ChatKind, verdict: Verdict
) -> None:
    """Sender and chat must both be listed; unlisted groups and channels are to be left."""
    assert ACCESS.decide(user_id, chat_id, chat_kind) == verdict


@pytest.mark.parametrize("user_id", sorted(SHARED_USERS))
def test_ids_that_stand_for_many_senders_are_nobody(user_id: int) -> None:
    """An id behind which Telegram hides anonymous senders is refused even if it is listed."""
    access = Access(owner=OWNER, users=frozenset((OWNER, user_id)), chats=frozenset((GROUP,)))
    assert access.decide(user_id, GROUP, "group") == NO_SENDER


def test_an_empty_list_or_an_unlisted_owner_is_refused_at_once() -> None:
    """There is no access without an owner who is on the list."""
    for users in (frozenset[int](), frozenset((FRIEND,))):
        with pytest.raises(ValueError, match="owner"):
            Access(owner=OWNER, users=users)
