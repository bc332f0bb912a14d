//! TLS as a user of the client meets it (acceptance group Q): a TLS server stands in front of the embedded broker, mostly in memory.

mod authority;
mod files;
mod front;
mod handshakes;
mod identity;
mod log;
mod negotiated;
mod streams;
mod trust;
mod ways;

use klamm::config::TlsConfig;
use klamm::network::Connector;
use klamm::protocol::messages::list_groups::ListGroupsRequest;
use klamm::{Client, ClientBuilder, Error, ErrorKind, Route};
use klamm_broker::Broker;

pub(crate) use authority::{Authority, Issued};
pub(crate) use files::Folder;
pub(crate) use front::{End, Front, server};
pub(crate) use log::logged;
pub(crate) use ways::{Drip, Speaks, Tampered, Tampering};

/// The name of the embedded broker's first node.
pub(crate) const NODE: &str = "node-1";

pub(crate) fn broker() -> Broker {
    Broker::builder().topic("t", 1).start_in_memory().unwrap()
}

/// A client of the first node, by this way.
pub(crate) fn client(way: impl Connector, tls: TlsConfig) -> ClientBuilder {
    Client::builder("node-1:9092").connector(way).tls(tls)
}

/// Is it served?
pub(crate) async fn ask(client: &Client) -> Result<(), Error> {
    client.request(ListGroupsRequest::default(), Route::Any).await.map(drop)
}

/// Why no connection came about: the failure of TLS in the error or among what caused it.
pub(crate) fn tls_failure(error: &Error) -> String {
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Tls, false), "{error:?}");
    error.to_string()
}
