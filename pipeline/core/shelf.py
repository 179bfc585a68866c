"""Calls by their key: those that something touched lately as they are, the others as the bytes that the changelog has of them.

A call of six legs takes 6 kB as it is and a tenth of that as its image. So what waits for the next event of a call waits small, and a
restart opens no call that nothing touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.core.call import Call


def _never_opened(_: bytes) -> Call:
    raise ValueError("this shelf was not told how to open an image")


class Shelf:
    """A map of calls. What `get` gives stays the same object until `cool` puts it away, which it never does with a dirty one."""

    __slots__ = ("_opened", "images", "warm")

    def __init__(self, opened: Callable[[bytes], Call] = _never_opened) -> None:
        self.warm: dict[str, Call] = {}
        self.images: dict[str, bytes] = {}
        self._opened = opened

    def get(self, key: str) -> Call | None:
        call = self.warm.get(key)
        if call is None:
            image = self.images.pop(key, None)
            if image is not None:
                call = self.warm[key] = self._opened(image)
        return call

    def __setitem__(self, key: str, call: Call) -> None:
        self.images.pop(key, None)
        self.warm[key] = call

    def shelve(self, key: str, image: bytes) -> None:
        """Put a call in as its image."""
        if self.warm:
            self.warm.pop(key, None)
        self.images[key] = image

    def drop(self, key: str) -> None:
        """Take a call out, if it is there."""
        self.warm.pop(key, None)
        self.images.pop(key, None)

    def __len__(self) -> int:
        return len(self.warm) + len(self.images)

    def items(self) -> Iterator[tuple[str, Call]]:
        """Return all of them. What is read from an image is a copy, to be looked at only: `get` it to change it."""
        yield from self.warm.items()
        for key, image in self.images.items():
            yield key, self._opened(image)

    def values(self) -> Iterator[Call]:
        return (call for _, call in self.items())

    def cool(self, most: int, image_of: Callable[[Call], bytes]) -> None:
        """Put away the calls that were got first, so that only `most` are left as they are. Now and then, since it takes many at once."""
        surplus = len(self.warm) - most
        if surplus <= most // 4:
            return
        for key in [key for key, call in self.warm.items() if not call.is_dirty][:surplus]:
            self.images[key] = image_of(self.warm.pop(key))
