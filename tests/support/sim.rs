//! The simulator in the harness: with its own reactor, and as non-blocking calls under [`Readiness`].

use std::ops::DerefMut;

use aurora_http_core::reactor::{FileId, IoHandle, Reactor};
use aurora_http_core::readiness::{Held, Parked, Readiness};
use aurora_http_core::sim::{Client, ClientRecv, Network, Sim, SimCalls, SimWaker};

use super::Harness;

/// A reactor over a simulated network.
pub(crate) trait Simulated {
    type Reactor: Reactor<'static>;

    fn over(network: Network, lent: usize) -> Self;
    fn reactor(&mut self) -> &mut Self::Reactor;
    fn network(&mut self) -> &mut Network;
    fn waker(&self) -> SimWaker;
}

pub(crate) struct Completions(Sim<'static>);

impl Simulated for Completions {
    type Reactor = Sim<'static>;

    fn over(network: Network, _lent: usize) -> Self {
        Self(Sim::over(network))
    }

    fn reactor(&mut self) -> &mut Sim<'static> {
        &mut self.0
    }

    fn network(&mut self) -> &mut Network {
        self.0.deref_mut()
    }

    fn waker(&self) -> SimWaker {
        self.0.waker()
    }
}

pub(crate) struct Calls(Readiness<'static, 'static, SimCalls>);

impl Simulated for Calls {
    type Reactor = Readiness<'static, 'static, SimCalls>;

    fn over(network: Network, lent: usize) -> Self {
        let parked = Vec::from_iter((0..SOCKETS).map(|_| Parked::new())).leak();
        let held = Vec::from_iter((0..SOCKETS).map(|_| Held::new())).leak();
        let lent = Vec::from_iter((0..lent).map(|_| None)).leak();
        Self(Readiness::new(SimCalls::over(network), parked, held, lent))
    }

    fn reactor(&mut self) -> &mut Self::Reactor {
        &mut self.0
    }

    fn network(&mut self) -> &mut Network {
        self.0.get_mut().deref_mut()
    }

    fn waker(&self) -> SimWaker {
        self.0.get_ref().waker()
    }
}

const SOCKETS: usize = 32;

pub(crate) struct SimHarness<S: Simulated = Completions> {
    sim: S,
}

impl<S: Simulated> Harness for SimHarness<S> {
    type Reactor = S::Reactor;
    type Waker = SimWaker;
    type Client = Client;

    fn new(sockets: usize, lent: usize) -> Self {
        assert!(sockets <= SOCKETS, "the network has {SOCKETS}");
        Self { sim: S::over(Network::new(SOCKETS, 4096), lent) }
    }

    fn reactor(&mut self) -> &mut Self::Reactor {
        self.sim.reactor()
    }

    fn waker(&self) -> Self::Waker {
        self.sim.waker()
    }

    fn listen(&mut self) -> IoHandle {
        self.sim.network().listen().expect("a free socket")
    }

    fn connect(&mut self, listener: IoHandle) -> Client {
        self.sim.network().connect(listener).expect("a listener and a free socket")
    }

    fn client_send(&mut self, client: &mut Client, bytes: &[u8]) -> usize {
        self.sim.network().client_send(*client, bytes)
    }

    fn client_recv(&mut self, client: &mut Client, into: &mut [u8]) -> ClientRecv {
        self.sim.network().client_recv(*client, into)
    }

    fn client_finish(&mut self, client: &mut Client) {
        self.sim.network().client_finish(*client);
    }

    fn client_close(&mut self, client: Client) {
        self.sim.network().client_close(client);
    }

    fn client_reset(&mut self, client: Client) {
        self.sim.network().client_reset(client);
    }

    fn shrink(&mut self, _io: IoHandle) {}

    fn open_file(&mut self, bytes: &[u8]) -> Option<FileId> {
        Some(self.sim.network().open_file(bytes.to_vec()))
    }

    fn close_file(&mut self, file: FileId) {
        self.sim.network().close_file(file);
    }
}
