//! Markers that the next leader does not have.

use klamm_broker::Broker;

use crate::producer::{Producer, V1, V2, read};

#[tokio::test(start_paused = true)]
async fn a_marker_that_is_lost_with_its_leader_is_written_again() {
    for versions in [V1, V2] {
        for committed in [true, false] {
            let broker = Broker::builder().nodes(3).topic("t", 1).start_in_memory().expect("a broker");
            let leader = broker.leader("t", 0).expect("a leader");
            let mut till = Producer::started(&broker, "till", versions).await;
            assert_eq!(till.send("t", 0, &["a"]).await, Ok(0));
            for node in (1..=3).filter(|node| *node != leader) {
                broker.hold_replication(node);
            }
            till.end(committed).await;
            let state = if committed { "PrepareCommit" } else { "PrepareAbort" };
            assert_eq!((till.state(), broker.log_end("t", 0, leader)), (state, Some(2)), "written, and not replicated");
            broker.stop_node(leader);
            for node in (1..=3).filter(|node| *node != leader) {
                broker.release_replication(node);
            }
            // The next leader has got its own.
            assert_eq!(till.state(), if committed { "CompleteCommit" } else { "CompleteAbort" });
            let seen = read(&broker, "t", 0, true).await;
            assert_eq!((seen.last_stable_offset, seen.high_watermark), (2, 2));
            assert_eq!(seen.values.len(), usize::from(committed));
        }
    }
}
