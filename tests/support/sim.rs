//! The simulator in the harness.

use aurora_http_core::reactor::IoHandle;
use aurora_http_core::sim::{Client, ClientRecv, Sim, SimStorage, SimWaker};

use super::Harness;

pub(crate) struct SimHarness {
    sim: Sim<'static, 'static>,
}

impl Harness for SimHarness {
    type Reactor = Sim<'static, 'static>;
    type Waker = SimWaker<'static>;
    type Client = Client;

    fn new(sockets: usize, lent: usize) -> Self {
        assert!(sockets <= 32 && lent <= 32, "the storage has 32");
        Self { sim: Box::leak(Box::new(SimStorage::<32, 4096>::new())).sim() }
    }

    fn reactor(&mut self) -> &mut Self::Reactor {
        &mut self.sim
    }

    fn waker(&self) -> Self::Waker {
        self.sim.waker()
    }

    fn listen(&mut self) -> IoHandle {
        self.sim.listen().expect("a free socket")
    }

    fn connect(&mut self, listener: IoHandle) -> Client {
        self.sim.connect(listener).expect("a listener and a free socket")
    }

    fn client_send(&mut self, client: &mut Client, bytes: &[u8]) -> usize {
        self.sim.client_send(*client, bytes)
    }

    fn client_recv(&mut self, client: &mut Client, into: &mut [u8]) -> ClientRecv {
        self.sim.client_recv(*client, into)
    }

    fn client_finish(&mut self, client: &mut Client) {
        self.sim.client_finish(*client);
    }

    fn client_close(&mut self, client: Client) {
        self.sim.client_close(client);
    }

    fn client_reset(&mut self, client: Client) {
        self.sim.client_reset(client);
    }

    fn shrink(&mut self, _io: IoHandle) {}
}
