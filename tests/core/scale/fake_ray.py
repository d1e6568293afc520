"""A cluster in this process: calls are done when they are waited for, scans last; machines go when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class Gone(RayError):
    """A worker, or what a machine held."""


@dataclass(eq=False)
class Ref:
    """A result of a call; it is there, or `error`, once `call` was made."""

    call: Callable[[], None] | None = None
    long: bool = False
    value: Any = None
    error: RayError | None = None


@dataclass(eq=False)
class Machine:
    cpus: int
    alive: bool = True
    held: list[Ref] = field(default_factory=list)


class FakeRay:
    """Machines with so many workers each, filled one after the other; tasks are done on the first that lives."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, *cpus: int) -> None:
        self.machines = [Machine(one) for one in cpus]
        self.started = 0
        self.before: Callable[[str, Machine], None] = lambda name, machine: None  # hears of every call

    def lose(self, machine: Machine) -> None:
        """The machine goes, with all that it holds; another takes its place."""
        machine.alive = False
        for ref in machine.held:
            ref.error = Gone("its machine died")
        self.machines.append(Machine(machine.cpus))

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": one.alive, "Resources": {"CPU": one.cpus}} for one in self.machines]

    def put(self, value: Any) -> Ref:
        return Ref(value=value)

    def get(self, ref: Ref) -> Any:
        if ref.call is not None:
            ref.call()
        if ref.error is not None:
            raise ref.error
        return ref.value

    def wait(self, refs: Sequence[Ref], num_returns: int, timeout: float) -> tuple[list[Ref], list[Ref]]:
        next_one = sorted(refs, key=lambda ref: ref.long)[0]
        if timeout and next_one.call is not None:
            next_one.call()
        done = [ref for ref in refs if ref.call is None]
        return done, [ref for ref in refs if ref.call is not None]

    def kill(self, actor: Any) -> None: ...

    def remote(self, made_of: Any) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._of(made_of)))

    def _of(self, made_of: Any) -> Callable[..., Any]:
        if isinstance(made_of, type):
            return lambda *args: Actor(self, self._next_place(), made_of(*args))
        return lambda *args: self.submit(None, "merge", made_of, args, 2)

    def _next_place(self) -> Machine:
        places = [one for one in self.machines for _ in range(one.cpus)]
        self.started += 1
        return places[self.started - 1]

    def submit(
        self, machine: Machine | None, name: str, work: Callable[..., Any], args: Sequence[Any], parts: int
    ) -> Any:
        refs = [Ref(long=name == "scan") for _ in range(parts)]

        def call() -> None:
            for ref in refs:
                ref.call = None
            where = next(one for one in self.machines if one.alive) if machine is None else machine
            try:
                self.before(name, where)
                if not where.alive:
                    raise Gone("the worker died")
                value = work(*(self.get(arg) if isinstance(arg, Ref) else arg for arg in args))
            except RayError as error:
                for ref in refs:
                    ref.error = error
                return
            for ref, one in zip(refs, value if parts > 1 else [value], strict=True):
                ref.value = one
            where.held += refs[1:]

        for ref in refs:
            ref.call = call
        return refs if parts > 1 else refs[0]


class Actor:
    def __init__(self, ray: FakeRay, machine: Machine, inner: Any) -> None:
        self._ray, self._machine, self._inner = ray, machine, inner

    def __getattr__(self, name: str) -> Any:
        def remote(*args: Any, parts: int = 1) -> Any:
            return self._ray.submit(self._machine, name, getattr(self._inner, name), args, parts)

        def options(num_returns: int) -> Any:
            return SimpleNamespace(remote=lambda *args: remote(*args, parts=num_returns))

        return SimpleNamespace(remote=remote, options=options)
