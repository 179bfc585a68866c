"""One call explained: found among events, told, and drawn for 60 columns or more.

story(events, policy, call_id)    what the demo prints
draw(told)                        the same of a call that was found before
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType

from pipeline.core.model import LegEvent, Policy
from pipeline.workbench.casefile import ToldCall, UnknownCall, told
from pipeline.workbench.drawing import Drawing

__all__ = ["ToldCall", "UnknownCall", "draw", "story", "told"]


def story(events: Iterable[LegEvent], policy: Policy, call_id: str) -> RenderableType:
    """Return one call of these events, drawn. Raises UnknownCall."""
    return draw(told(events, policy, call_id=call_id))


def draw(call: ToldCall) -> RenderableType:
    """Return a told call as something that rich prints at any width from 60 columns, with or without colours."""
    return Drawing(call)
