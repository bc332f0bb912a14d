//! The part of the handle that is about replication: who is in sync, who lags, who leads, and what is lost by that.

use crate::Broker;
use crate::core::{Core, Election};

impl Broker {
    /// Keeps a node from replicating: what is appended from now on by leaders on other nodes it does not get. As long as it counts as
    /// in sync, the high watermark stands still: readers do not see further, and who waits for an acknowledgement by all replicas
    /// waits. After [`replica_lag_time_max`](crate::BrokerBuilder::replica_lag_time_max) it is no longer in sync and the rest go on.
    ///
    /// What such a replica does not have is lost when it becomes leader: when the leader is [stopped](Self::stop_node) in time, or by
    /// an [unclean election](Self::elect_unclean). What was acknowledged by all replicas is lost by the second only.
    ///
    /// ```
    /// # use klamm_broker::Broker;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let broker = Broker::builder().nodes(2).topic("orders", 1).start_in_memory()?;
    /// broker.append_records("orders", 0, [(None, Some(&b"on both"[..]))]);
    /// broker.hold_replication(2);
    /// broker.append_records("orders", 0, [(None, Some(&b"on the leader alone"[..]))]);
    /// assert_eq!(broker.high_watermark("orders", 0), Some(1));
    /// broker.stop_node(1);
    /// assert_eq!(broker.leader("orders", 0), Some(2));
    /// assert_eq!(broker.log_end("orders", 0, 2), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold_replication(&self, node: i32) {
        self.shared().with(|core, now| core.hold_replication(now, node));
    }

    /// Lets a node replicate again. It cuts off what its leaders do not have, catches up at once and is in sync.
    pub fn release_replication(&self, node: i32) {
        self.shared().with(|core, now| core.release_replication(now, node));
    }

    /// Lets a node that is [held back](Self::hold_replication) get the records before `offset`, in whole batches; `false` if there is no
    /// such partition.
    pub fn replicate_up_to(&self, topic: &str, partition: i32, node: i32, offset: i64) -> bool {
        self.shared().with(|core, now| core.replicate_up_to(now, topic, partition, node, offset))
    }

    /// Makes the preferred replica, the first of a partition, its leader; `false` if it is the leader, is not in sync, or does not run.
    pub fn elect_preferred(&self, topic: &str, partition: i32) -> bool {
        self.shared().with(|core, now| core.elect_leader(now, topic, partition, Election::Preferred))
    }

    /// Makes `node` the leader of a partition whether or not it is in sync, or without a node the first replica that runs, those in
    /// sync first. What the new leader does not have is lost, acknowledged or not. `false` if no such replica runs.
    pub fn elect_unclean(&self, topic: &str, partition: i32, node: Option<i32>) -> bool {
        self.shared().with(|core, now| core.elect_leader(now, topic, partition, Election::Unclean(node)))
    }

    /// The nodes that are in sync for a partition, ascending; empty if there is no such partition.
    pub fn isr(&self, topic: &str, partition: i32) -> Vec<i32> {
        let isr = |core: &Core| Some(core.partition(topic, partition)?.isr.iter().copied().collect());
        self.look(isr).unwrap_or_default()
    }

    /// Up to where a partition's readers may read; `None` if there is no such partition.
    pub fn high_watermark(&self, topic: &str, partition: i32) -> Option<i64> {
        self.look(|core| Some(core.log(topic, partition)?.high_watermark()))
    }

    /// Where the log of a partition's replica ends, in its leader's history or in one that it has yet to cut off; `None` if the node
    /// has no replica of it.
    pub fn log_end(&self, topic: &str, partition: i32, node: i32) -> Option<i64> {
        self.look(|core| core.partition(topic, partition)?.end_of(node))
    }
}
