//! A broker that is far away, a client, and what must hold after a call of it was dropped.

use std::time::Duration;

use klamm::Client;
use klamm_broker::{BrokerBuilder, Intercept};
use tokio::time::timeout;

use super::world::proxy::{End, Pace, Seen};
use super::world::{FAREWELL, Security, World, panics};

/// Nothing here takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Scene {
    pub(crate) world: World,
    /// Connections that calls may end themselves, by purpose.
    may_end: Vec<&'static str>,
}

impl Scene {
    /// Bytes take their time, and so do answers: whoever waits for a request waits several times.
    pub(crate) async fn start(builder: BrokerBuilder) -> Self {
        Self::start_with(Security::Plaintext, builder).await
    }

    /// The same, where client and broker talk like this.
    pub(crate) async fn start_with(security: Security, builder: BrokerBuilder) -> Self {
        let world = World::start(security, builder).await;
        world.proxy.set_pace(Pace::Slowly(48));
        world.broker.intercept(|_| Intercept::DelayResponse(Duration::from_millis(4)));
        Self { world, may_end: Vec::new() }
    }

    /// Calls may close connections of this purpose.
    pub(crate) fn may_end(mut self, purpose: &'static str) -> Self {
        self.may_end.push(purpose);
        self
    }

    pub(crate) fn client(&self) -> Client {
        self.world.client()
    }

    /// No connection was broken by us. From here on bytes take no time, so that what is on its way is whole when everything is dropped.
    pub(crate) async fn assert_connections_whole(&self) {
        self.world.proxy.set_pace(Pace::AtOnce);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let bad = |seen: &Seen| match seen.end {
            End::Open => false,
            End::Client => !self.may_end.contains(&seen.purpose()),
            End::Broker | End::Fault => true,
        };
        let broken: Vec<_> = self.world.proxy.seen().into_iter().filter(bad).collect();
        assert!(broken.is_empty(), "{broken:?}");
    }

    /// Everything was dropped: nothing is left, and what went out were whole frames.
    pub(crate) async fn over(self) {
        self.world.wait_until_empty(FAREWELL).await;
        for seen in self.world.proxy.seen() {
            assert!(seen.requests.is_whole() || self.may_end.contains(&seen.purpose()), "half a frame: {seen:?}");
        }
        panics::assert_none();
    }
}

/// The call ends well within the patience of these tests.
pub(crate) async fn patient<T>(what: &str, call: impl Future<Output = T>) -> T {
    timeout(PATIENCE, call).await.unwrap_or_else(|_| panic!("{what} takes longer than {PATIENCE:?}"))
}
