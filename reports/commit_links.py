"""Where commits can be looked at: only commits of a repository lead into it."""

import string
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

DIGITS = frozenset(string.digits + "abcdef")
PLACE = "{commit}"
"""What stands for the commit in an address."""


@dataclass(frozen=True)
class Links:
    """Addresses with `{commit}` in them.

    Attributes:
        given: of commits of the repository that an implementation lies in, by its name; of
            sparsebench's under the empty name.
        origin: of the working directory's repository; empty where it has none.
        known: commits that this repository has, without `+dirty`.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    known: AbstractSet[str] = frozenset()

    def to(self, commit: str, of: Sequence[str] = ()) -> str:
        """Where a commit can be looked at; empty where that is not known, or it is none.

        Args:
            commit: as a run file has it.
            of: implementations whose own repository it is of; none where it is sparsebench's.
        """
        digits = digits_of(commit)
        given = next((self.given[name] for name in of or ("",) if name in self.given), "")
        address = given or (self.origin if digits in self.known else "")
        return address.replace(PLACE, digits) if digits else ""


NO_LINKS = Links()


def digits_of(commit: str) -> str:
    """A commit without what was changed beside it; empty where it is none."""
    digits = commit.partition("+")[0]
    return digits if DIGITS.issuperset(digits) else ""
