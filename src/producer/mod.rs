//! Producers.
mod accumulator;
mod builder;
mod delivery;
mod memory;
mod partitioner;
mod sequence;
mod settings;
mod verdict;

pub use builder::ProducerBuilder;
pub use delivery::Delivery;
pub use partitioner::murmur2;
pub use settings::Acks;

use crate::cluster::Cluster;
use crate::error::{Error, ErrorKind, Result};

/// A producer that sends in the background.
#[derive(Clone, Debug)]
pub struct Producer {
    _cluster: Cluster,
}

impl Producer {
    fn new(_cluster: Cluster, _settings: settings::Settings) -> Result<Self> {
        Err(Error::new(ErrorKind::Bug, "the producer is not wired yet"))
    }
}
