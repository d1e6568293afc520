"""Hooks on modules that last as long as an ExitStack: what a module reads or gives is seen, or replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from torch import Tensor, nn


class _Enough(Exception):
    """Raised inside a forward pass that has gone as far as it is needed."""


@contextmanager
def ending_at(module: nn.Module) -> Iterator[None]:
    """The forward pass within it ends where `module` is reached, behind the hooks that it has already."""

    def stop(_module: nn.Module, _inputs: tuple[Any, ...]) -> None:
        raise _Enough

    handle = module.register_forward_pre_hook(stop)
    try:
        with suppress(_Enough):
            yield
    finally:
        handle.remove()


def see_input(hooks: ExitStack, module: nn.Module, see: Callable[[Tensor], object]) -> None:
    """While `hooks` is open, `see` is given the module's first input."""

    def look(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        see(inputs[0])

    hooks.callback(module.register_forward_pre_hook(look).remove)


def see_output(hooks: ExitStack, module: nn.Module, see: Callable[[Any], object]) -> None:
    """While `hooks` is open, `see` is given what the module returns."""

    def look(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        see(output)

    hooks.callback(module.register_forward_hook(look).remove)


def replace_input(hooks: ExitStack, module: nn.Module, new: Callable[[Tensor], Tensor]) -> None:
    """While `hooks` is open, the module's first input is what `new` makes of it."""

    def put(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (new(inputs[0]), *inputs[1:])

    hooks.callback(module.register_forward_pre_hook(put).remove)
