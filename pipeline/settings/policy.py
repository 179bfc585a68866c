"""From an operator's settings, in seconds, to the core's policy, in milliseconds."""

from __future__ import annotations

from pipeline.core.model import Policy, WeekHours
from pipeline.settings.hours import DAY_MINUTES, week
from pipeline.settings.shape import DAYS, Queue, Settings

ALWAYS_OPEN = (((0, DAY_MINUTES),),) * 7


def policy(settings: Settings) -> Policy:
    """Everything that a verdict, a tally or the life of state depends on besides the facts."""
    chosen = settings.policy
    return Policy(
        same_moment_ms=chosen.same_moment_ms,
        race_window_ms=chosen.race_window_ms,
        ring_limit_tolerance_ms=chosen.ring_limit_tolerance_ms,
        timeout_only_in_autodialer=chosen.timeout_only_in_autodialer,
        settle_ms=chosen.settle_s * 1000,
        offered_ttl_ms=chosen.offered_ttl_s * 1000,
        ttl_ms=chosen.ttl_s * 1000,
        root_wait_ms=chosen.root_wait_s * 1000,
        retention_ms=chosen.retention_s * 1000,
        closed_memory_ms=chosen.closed_memory_s * 1000,
        window_sizes_ms=tuple(size_s * 1000 for size_s in chosen.window_sizes_s),
        short_abandoned_ms=chosen.short_abandoned_s * 1000,
        zone=chosen.tz,
        zone_of={name: queue.tz for name, queue in sorted(settings.queues.items()) if queue.tz is not None},
        grace_ms=chosen.grace_s * 1000,
        tally_retention_ms=chosen.tally_retention_s * 1000,
        max_legs=chosen.max_legs,
        hours={name: week_hours(queue) for name, queue in sorted(settings.queues.items()) if queue.tz is not None},
        queue_of_number={number: name for name, queue in sorted(settings.queues.items()) for number in queue.numbers},
    )


def week_hours(queue: Queue) -> WeekHours:
    """A queue that names only holidays is open on every other day."""
    days = [getattr(queue.hours, day) for day in DAYS] if queue.hours is not None else None
    return WeekHours(
        tz=queue.tz or "UTC",
        week=ALWAYS_OPEN if days is None else week(days),
        holidays=frozenset(day.isoformat() for day in queue.holidays),
    )
