"""Environment over callverdict.toml over defaults: one frozen value, or every problem at once.

Here lives what an operator may choose, its defaults and its advice. Here may not live: a use of any of it.

    settings = load()            # raises SettingsError with all problems, one line of advice each
    rules = policy(settings)     # what the core knows of them, in milliseconds
    words = security(settings.security)   # what every Kafka client is told besides the address
"""

from pipeline.settings.policy import policy
from pipeline.settings.problems import Origin
from pipeline.settings.reading import InForce, Reading, load, read
from pipeline.settings.security import security
from pipeline.settings.shape import VENDOR_NAMES, Queue, Settings, Source

__all__ = ["VENDOR_NAMES", "InForce", "Origin", "Queue", "Reading", "Settings", "Source", "load", "policy", "read", "security"]
