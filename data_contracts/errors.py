"""The one exception tree. A message says what was found, what was expected, where, and what to do next."""


class AlmostError(Exception):
    """Anything this project raises on purpose.

    `transient` tells the orchestrator whether the same call may succeed later (retries go by class of error).
    `exit_code` is the process exit status the command line ends with: 2 when the user's input is wrong, else 1.
    """

    transient: bool = False
    exit_code: int = 1


class ConfigError(AlmostError):
    """A profile, option, path or file that a person gave is wrong."""

    exit_code = 2


class ContractError(AlmostError):
    """A table or checkpoint breaks its contract."""


class EmptyResultError(AlmostError):
    """A step left nothing for the next one, e.g. every comparison was filtered out."""

    exit_code = 2


class EngineError(AlmostError):
    """Text generation or scoring failed for a reason that will not go away by itself."""


class TransientEngineError(EngineError):
    """A model server is down, overloaded or too slow: the same call may succeed later."""

    transient = True


class JobError(AlmostError):
    """A job process ended badly: non-zero exit, no manifest, bad numbers, out of memory."""


class TransientJobError(JobError):
    """A job was killed from outside (signal, evicted worker): the same spec may run to its end next time."""

    transient = True


class StoreError(AlmostError):
    """The artifact store cannot be read or written."""


class TransientStoreError(StoreError):
    """The store, or another run that holds a key, did not answer in time: the same call may succeed later."""

    transient = True


class LockLostError(TransientStoreError):
    """This process was taken for dead, and another run computes the key now."""


class DamagedArtifactError(StoreError):
    """An artifact's bytes do not match its manifest."""
