"""Call NVML, in the child: every call announced, every refusal named as nvml.h names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.model import Health
    from ds01ctl.observe.child import Reporter

NOT_OFFERED = frozenset(
    {
        "NOT_SUPPORTED",
        "NOT_FOUND",
        "FUNCTION_NOT_FOUND",
        "NO_DATA",
        "ARGUMENT_VERSION_MISMATCH",
        "DEPRECATED",
    }
)
"""The card or the driver does not have it: unknown, and nothing is wrong."""

GONE: Mapping[str, Health] = {"GPU_IS_LOST": "lost", "RESET_REQUIRED": "reset-required"}
"""Nothing more can be had from this GPU; asking on would cost seconds a call."""

_PREFIX = "NVML_ERROR_"


class CallFailed(Exception):  # noqa: N818 -- named for what happened, as is usual here
    """NVML refused a call."""

    def __init__(self, function: str, error: str) -> None:
        super().__init__(f"{function}: {error}")
        self.function = function
        self.error = error


class Nvml:
    """The binding, speaking of one GPU or of the whole host."""

    def __init__(self, pynvml: Any, reporter: Reporter, where: str = "") -> None:
        self.pynvml = pynvml
        self.trouble: CallFailed | None = None
        """The first refusal of an optional reading that says something is wrong."""
        self._reporter = reporter
        self._where = where

    def on(self, index: int) -> Nvml:
        """Speak of one GPU."""
        return Nvml(self.pynvml, self._reporter, f" on GPU {index}")

    def need(self, function: str, *args: Any, **options: Any) -> Any:
        """Call a function of nvidia-ml-py. Raises CallFailed."""
        self.announce(function)
        try:
            return getattr(self.pynvml, function)(*args, **options)
        except self.pynvml.NVMLError as error:
            raise CallFailed(function, self.error_name(error.value)) from None
        except UnicodeDecodeError:
            raise CallFailed(function, "NO_DATA") from None

    def ask(self, function: str, *args: Any, **options: Any) -> Any:
        """Call; None where there is no answer. Raises CallFailed only for a GPU that is gone."""
        try:
            return self.need(function, *args, **options)
        except CallFailed as failure:
            if failure.error in GONE:
                raise
            if failure.error not in NOT_OFFERED | {"NO_PERMISSION"}:
                self.worry(failure)
            return None

    def text(self, function: str, *args: Any) -> str | None:
        """Ask for text; some versions of nvidia-ml-py give bytes."""
        answer = self.ask(function, *args)
        return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer

    def flag(self, function: str, *args: Any) -> bool | None:
        """Ask for an nvmlEnableState_t."""
        answer = self.ask(function, *args)
        return None if answer is None else bool(answer)

    def raw(self, function: str, *args: Any) -> int:
        """Call the C library itself, where the binding does not fit; give the return code."""
        self.announce(function)
        code: int = getattr(self.pynvml.nvmlLib, function)(*args)
        return code

    def has(self, function: str) -> bool:
        """Tell whether the driver's library has a symbol."""
        return hasattr(self.pynvml.nvmlLib, function)

    def announce(self, function: str) -> None:
        """Tell the parent which call is next, so that a hang has a name."""
        self._reporter.doing(f"{function}{self._where}")

    def worry(self, failure: CallFailed) -> None:
        """Remember the first sign that something is wrong with this GPU."""
        self.trouble = self.trouble or failure

    def error_name(self, code: int) -> str:
        """Name a return code as nvml.h does, without the prefix."""
        for name, value in vars(self.pynvml).items():
            if name.startswith(_PREFIX) and value == code:
                return str(name.removeprefix(_PREFIX))
        return f"error {code}"
