//! What is seen at the brokers: requests for the history, and what becomes of them.

use std::time::Duration;

use klamm::protocol::messages::offset_commit::OffsetCommitRequest;
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::records::RecordBatches;
use klamm::protocol::{ApiKey, Uuid};
use klamm_broker::{Intercept, SeenRequest};

use crate::history::{Event, History, Partition, Who, topic_number};
use crate::trouble::{Trouble, Whim};

/// What the history is told of a request that reaches a broker.
pub(super) fn observe(at: Duration, who: Who, topics: &[(Uuid, u32)], request: &SeenRequest, history: &mut History) {
    let topic = |name: &str, id: Uuid| {
        topic_number(name).or_else(|| topics.iter().find(|(known, _)| *known == id).map(|(_, topic)| *topic))
    };
    if let Ok(produce) = request.decode::<ProduceRequest>() {
        for of_topic in &produce.topic_data {
            let Some(topic) = topic(of_topic.name.as_str(), of_topic.topic_id) else { continue };
            for data in &of_topic.partition_data {
                let Some(records) = &data.records else { continue };
                for batch in RecordBatches::new(records.0.clone()).flatten() {
                    let crc = batch.bytes().get(17..21).and_then(|crc| crc.try_into().ok()).map_or(0, u32::from_be_bytes);
                    let event = Event::BatchSent {
                        partition: Partition { topic, number: data.index },
                        producer_id: batch.producer_id(),
                        epoch: batch.producer_epoch(),
                        sequence: batch.base_sequence(),
                        content: u64::from(crc),
                    };
                    history.push(at, event);
                }
            }
        }
    }
    if let (Who::Member(member), Ok(commit)) = (who, request.decode::<OffsetCommitRequest>()) {
        for of_topic in &commit.topics {
            let Some(topic) = topic(of_topic.name.as_str(), of_topic.topic_id) else { continue };
            for data in &of_topic.partitions {
                let partition = Partition { topic, number: data.partition_index };
                history.push(at, Event::CommitAsked { member, partition, offset: data.committed_offset });
            }
        }
    }
}

/// What becomes of a request.
pub(super) fn verdict(
    at: Duration,
    request: &SeenRequest,
    whims: &mut Vec<(ApiKey, usize, Whim)>,
    history: &mut History,
) -> Intercept {
    let Some(index) = whims.iter().position(|(api, ..)| *api == request.api_key) else { return Intercept::Pass };
    let Some((_, left, whim)) = whims.get_mut(index) else { return Intercept::Pass };
    let whim = *whim;
    *left = left.saturating_sub(1);
    if *left == 0 {
        whims.remove(index);
    }
    if (Trouble::Whim { api: request.api_key, times: 1, whim }).expires_members() {
        history.push(at, Event::Expired);
    }
    match whim {
        Whim::Code(code) => Intercept::Error(code),
        Whim::CloseBefore => Intercept::CloseBefore,
        Whim::CloseAfter => Intercept::ProcessThenClose,
        Whim::Delay(delay) => Intercept::Delay(delay),
        Whim::DelayAnswer(delay) => Intercept::DelayResponse(delay),
        Whim::Swallow => Intercept::Swallow,
        Whim::SwallowAnswer => Intercept::ProcessThenSwallow,
        Whim::CutAnswer(bytes) => Intercept::CutResponse(bytes),
    }
}
