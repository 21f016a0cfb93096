"""What a Role keeps: an object whose attributes are there again at the next start."""

from __future__ import annotations

from .errors import KozoError, RefusedError
from .values import UnsendableError, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .conversation import Conversation


class Storage:
    """Attributes that the Node keeps.

    What is assigned is on its way to the disk as soon as the handler returns, and lists and dicts that are changed in
    place are seen then, too.
    """

    def __init__(self, defaults: dict[str, object]) -> None:
        """Have these attributes, until the Node says what they were."""
        self.__dict__.update(defaults)

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            """Have an attribute kept."""

    def __getattr__(self, name: str) -> Any:
        """Say what there is, if there is no such attribute."""
        known = ", ".join(sorted(self.__dict__)) or "none"
        raise AttributeError(f"nothing is stored as {name!r}; there are: {known}")

    def __repr__(self) -> str:
        """Show what is kept."""
        return f"Storage({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


class Keeper:
    """Has the Node keep what has changed, one write at a time."""

    def __init__(self, storage: Storage) -> None:
        """Keep the attributes of this."""
        self._kept = vars(storage)
        self._last = b""
        # The write that is not known to be done, as the number of a request.
        self._number: int | None = None
        self._conversation: Conversation | None = None
        # Why it cannot be kept as it is now.
        self._problem = ""

    def take(self, stored: object) -> None:
        """Take over what the Node has kept."""
        if isinstance(stored, dict):
            self._kept.update({str(name): value for name, value in stored.items()})
        self._last = pack(self._kept, "storage")

    def keep(self, conversation: Conversation) -> None:
        """Have it kept, if it has changed and the last write is done.

        Raises:
            KozoError: The Node could not write it, or there is something in it that cannot be kept, which is said once.
        """
        self._conversation = conversation
        if self.is_done():
            self._look(conversation)
        if self._number is None:
            self._number = self._store(conversation)

    def finish(self, conversation: Conversation) -> None:
        """Have it kept, whether the last write is done or not: it is the last chance.

        Raises:
            KozoError: There is something in it that cannot be kept.
        """
        self._store(conversation)

    def _store(self, conversation: Conversation) -> int | None:
        try:
            packed = pack(self._kept, "storage")
        except UnsendableError as error:
            if str(error) == self._problem:
                return None
            self._problem = str(error)
            raise KozoError(f"its state could not be stored: {error}") from None
        self._problem = ""
        if packed == self._last:
            return None
        self._last = packed
        return conversation.store(packed)

    def is_done(self) -> bool:
        """Tell whether a write is done that `keep` has not looked at."""
        conversation, number = self._conversation, self._number
        return number is not None and conversation is not None and conversation.is_answered(number)

    def _look(self, conversation: Conversation) -> None:
        number, self._number = self._number or 0, None
        try:
            conversation.answer(number)
        except RefusedError as error:
            raise KozoError(f"its state could not be stored: {error}") from None
