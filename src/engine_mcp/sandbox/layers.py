"""The layers that keep a script's process from doing harm, by name."""

from enum import StrEnum


class Layer(StrEnum):
    """One thing the operating system is asked for; each can be missing, and is then reported so."""

    UID = "uid"
    NO_NEW_PRIVS = "no_new_privs"
    NETNS = "netns"
    LANDLOCK = "landlock"
    UNDUMPABLE = "undumpable"
    RLIMITS = "rlimits"
    SECCOMP = "seccomp"
    CPU_TIMER = "cpu_timer"
    DEATH_SIGNAL = "death_signal"


ALL_LAYERS = frozenset(Layer)
