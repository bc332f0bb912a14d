//! What logs have lost, for simulators: facts that tell an oracle which records it need not look for.

use klamm::protocol::records::Batch;

use super::Core;
use crate::core;
use crate::{Broker, BrokerBuilder};

/// The end of a log that the leaders of its partition have no more.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The first offset that is lost; 0 where the topic was deleted.
    pub from: i64,
    /// Where the log ended.
    pub to: i64,
    /// Where its high watermark was: what stands before it was visible, and acknowledged to producers that wait for all replicas.
    pub high_watermark: i64,
    /// What is lost.
    pub batches: Vec<Batch>,
}

impl Core {
    /// What was lost since the last call, for a [cluster](Core::cluster).
    pub fn take_losses(&mut self) -> Vec<Loss> {
        take(&mut self.core)
    }
}

impl Broker {
    /// What was lost since the last call; nothing unless the broker was [built](BrokerBuilder::keep_losses) so.
    pub fn take_losses(&self) -> Vec<Loss> {
        self.shared().with(|core, _| take(core))
    }
}

impl BrokerBuilder {
    /// Keeps what logs lose for [`Broker::take_losses`].
    pub fn keep_losses(mut self) -> Self {
        self.settings.keeps_losses = true;
        self
    }
}

fn take(core: &mut core::Core) -> Vec<Loss> {
    let losses = core.topics.take_losses().into_iter();
    let losses = losses.map(|(topic, partition, loss)| Loss {
        topic,
        partition,
        from: loss.from,
        to: loss.to,
        high_watermark: loss.high_watermark,
        batches: loss.batches,
    });
    losses.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS};

    use super::*;
    use crate::faults::BrokerFault;

    fn append(core: &mut Core, now: Instant, values: usize) {
        for _ in 0..values {
            let mut builder = BatchBuilder::new(64);
            builder.append(0, None, Some(b"x"), NO_HEADERS).expect("room");
            let bytes = builder.close(Compression::None).expect("no codec").stamp(-1, -1, -1, false);
            let batch = Batch::new(bytes).expect("a batch");
            assert!(core.core.append(now, "t", 0, &batch).is_some());
        }
    }

    fn told(core: &mut Core) -> Vec<(i64, i64, i64, usize)> {
        core.take_losses().iter().map(|loss| (loss.from, loss.to, loss.high_watermark, loss.batches.len())).collect()
    }

    #[test]
    fn what_is_cut_off_left_behind_or_deleted_is_told_once() {
        let now = Instant::now();
        let mut core = Core::cluster(now, 3, &[("t", 1)], 1);
        append(&mut core, now, 4);
        assert_eq!(told(&mut core), []);
        core.fault(now, &BrokerFault::Truncate { topic: "t".into(), partition: 0, records: 1 }.into());
        assert_eq!(told(&mut core), [(3, 4, 4, 1)]);
        assert_eq!(told(&mut core), []);
        // Two followers that get nothing: the leader's tail is nobody else's, and above the high watermark.
        let leader = core.leader("t", 0).expect("a leader");
        for node in (1..=3).filter(|node| *node != leader) {
            core.fault(now, &BrokerFault::HoldReplication { node, lasts: None }.into());
        }
        append(&mut core, now, 2);
        core.fault(now, &BrokerFault::KillNode { node: leader, loses_unreplicated: true, lasts: None }.into());
        assert_eq!(told(&mut core), [(3, 5, 3, 2)]);
        core.fault(now, &BrokerFault::DeleteTopic { topic: "t".into(), recreate_after: None }.into());
        assert_eq!(told(&mut core), [(0, 3, 3, 3)]);
    }
}
