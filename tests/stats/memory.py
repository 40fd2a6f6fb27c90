"""Doubles in memory: a store, a way to StatsD, and a resolver of names."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import cast

from twisted.application.service import IService, Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IReactorUDP,
    IResolutionReceiver,
    IUDPTransport,
)
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from metro_backend.store import Lock


class _Held:
    async def release(self) -> None:
        pass


class MemoryStore:
    """A store that works, is away, or takes its time."""

    def __init__(self) -> None:
        self.service: IService = Service()
        self.values: dict[str, bytes] = {}
        self.away = False
        self.slow = False
        self.broken = False
        self.calls = 0
        self.waiting: list[Deferred[None]] = []

    @property
    def available(self) -> bool:
        return not self.away

    def answer(self) -> None:
        """Let everybody go on who waits for the slow store."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(None)

    async def _called(self) -> None:
        self.calls += 1
        if self.broken:
            raise ValueError("list.remove(x): x not in list")
        if self.slow:
            waiter: Deferred[None] = Deferred()
            self.waiting.append(waiter)
            await waiter

    async def get(self, key: str) -> bytes | None:
        await self._called()
        return None if self.away else self.values.get(key)

    async def set(self, key: str, value: bytes, seconds: float | None = None) -> None:
        await self._called()
        if not self.away:
            self.values[key] = value

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        await self._called()
        if self.away:
            return True
        if key in self.values:
            return False
        self.values[key] = value
        return True

    async def delete(self, key: str) -> None:
        await self._called()
        self.values.pop(key, None)

    async def lock(self, name: str, seconds: float) -> Lock | None:
        await self._called()
        return _Held()

    async def publish(self, topic: str, message: bytes) -> None:
        await self._called()

    def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> None:
        pass


class MemoryConnection:
    """A way to StatsD that keeps what is sent."""

    def __init__(self) -> None:
        self.ready = True
        self.failures = 0
        self.datagrams: list[bytes] = []
        self.started = False

    def start(self) -> None:
        self.started = True

    def stop(self) -> Deferred[None]:
        self.started = False
        return succeed(None)

    def write(self, datagram: bytes) -> bool:
        if self.ready:
            self.datagrams.append(datagram)
        return self.ready

    @property
    def lines(self) -> list[str]:
        """All lines that were sent."""
        return [line for each in self.datagrams for line in each.decode("ascii").split("\n")]


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        pass


@implementer(IHostnameResolver)
class MemoryResolver:
    """A resolver whose answers are what the test says at the time."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = list(hosts)
        self.silent = False
        self.broken = False
        self.asked: list[IResolutionReceiver] = []

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        self.asked.append(resolutionReceiver)
        if self.broken:
            raise RuntimeError("no threads left")
        if not self.silent:
            self.answer(resolutionReceiver)
        return _Resolution(hostName)

    def answer(self, receiver: IResolutionReceiver) -> None:
        """Give an asker the hosts of now."""
        receiver.resolutionBegan(_Resolution(""))
        for host in self.hosts:
            kind = IPv6Address if ":" in host else IPv4Address
            receiver.addressResolved(kind("UDP", host, 0))
        receiver.resolutionComplete()


@implementer(IListeningPort)
class _Port:
    def __init__(self, udp: MemoryUDP, protocol: DatagramProtocol, interface: str) -> None:
        self.udp = udp
        self.protocol = protocol
        self.interface = interface

    def startListening(self) -> None:
        self.protocol.makeConnection(cast(IUDPTransport, self))

    def stopListening(self) -> None:
        if self in self.udp.ports:
            self.udp.ports.remove(self)
            self.protocol.doStop()

    def getHost(self) -> IAddress:
        return IPv4Address("UDP", "0.0.0.0", 40000)

    def write(self, datagram: bytes, address: tuple[str, int]) -> None:
        if self.udp.error is not None:
            raise self.udp.error
        if (":" in address[0]) != (self.interface == "::"):
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
        self.udp.sent.append((datagram, *address))


@implementer(IReactorUDP)
class MemoryUDP:
    """Opens ports that fail as the test says."""

    def __init__(self) -> None:
        self.ports: list[_Port] = []
        self.sent: list[tuple[bytes, str, int]] = []
        self.error: Exception | None = None
        """What every write raises."""
        self.full = False
        """Whether no port can be opened."""

    def listenUDP(
        self, port: int, protocol: DatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> IListeningPort:
        if self.full:
            raise CannotListenError(interface, port, OSError(errno.EMFILE, "Too many open files"))
        opened = _Port(self, protocol, interface)
        self.ports.append(opened)
        opened.startListening()
        return opened
