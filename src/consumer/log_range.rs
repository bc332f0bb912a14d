//! The offsets that a partition's log has, for the error of one that it has not. Asked of the leader when it has come to that, for a
//! moment only; without an answer the first words stand.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cluster::{Cluster, LogEnd};
use crate::consumer::fetch::{EARLIEST, LATEST};
use crate::{Error, TopicPartition};

/// The longest that the user waits for more words.
const PATIENCE: Duration = Duration::from_secs(2);

/// The error, with the range of the partition's log, and what to do.
pub(crate) async fn with_log_range(cluster: &Cluster, partition: &TopicPartition, error: Error) -> Error {
    let deadline = Instant::now() + PATIENCE;
    let end = async |time| {
        let listed = cluster.list_offsets(vec![partition.clone()], time, LogEnd::HighWatermark, deadline).await;
        listed.into_iter().next()?.1.ok()?.offset
    };
    match timeout(PATIENCE, async { tokio::join!(end(EARLIEST), end(LATEST)) }).await {
        Ok((Some(first), Some(next))) => error.with_advice(advice(first, next)),
        _ => error,
    }
}

/// `next` is the offset of the next record to be written.
fn advice(first: i64, next: i64) -> String {
    let range = if first >= next {
        format!("the log is empty now, and the next record gets offset {next}")
    } else {
        format!("the log has offsets {first} to {}, and the next record gets {next}", next - 1)
    };
    format!("{range}; seek there, or say by auto_offset_reset where to go on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_told_of_a_log_that_has_records_and_of_one_that_has_none() {
        assert!(advice(3, 10).starts_with("the log has offsets 3 to 9, and the next record gets 10; seek"));
        assert!(advice(9, 10).starts_with("the log has offsets 9 to 9,"));
        assert!(advice(10, 10).starts_with("the log is empty now, and the next record gets offset 10;"));
    }
}
