//! What is seen at the brokers: requests for the history, and what becomes of them.

use std::time::Duration;

use klamm::protocol::messages::offset_commit::OffsetCommitRequest;
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::records::RecordBatches;
use klamm::protocol::{ApiKey, Uuid};
use klamm_broker::unstable::Loss;
use klamm_broker::{Intercept, SeenRequest};

use crate::history::{Event, History, Partition, Who, topic_number};
use crate::logs;
use crate::trouble::Whim;

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

/// What the history is told of a loss; `None` if it is none of its topics'. What was not committed was not there for anybody.
pub(crate) fn destroyed(loss: &Loss) -> Option<Event> {
    let partition = Partition { topic: topic_number(&loss.topic)?, number: loss.partition };
    let seen = logs::records(&loss.batches).into_iter().filter(|logged| logged.fate.is_visible());
    let records = seen.filter_map(|logged| Some((logged.offset, logged.record?)));
    let (from, high_watermark) = (loss.from, loss.high_watermark);
    Some(Event::Destroyed { partition, from, high_watermark, records: records.collect() })
}

/// What becomes of a request.
pub(super) fn verdict(request: &SeenRequest, whims: &mut Vec<(ApiKey, usize, Whim)>) -> Intercept {
    let Some(index) = whims.iter().position(|(api, ..)| *api == request.api_key) else { return Intercept::Pass };
    let Some((_, left, whim)) = whims.get_mut(index) else { return Intercept::Pass };
    let whim = *whim;
    *left = left.saturating_sub(1);
    if *left == 0 {
        whims.remove(index);
    }
    match whim {
        Whim::Delay(delay) => Intercept::Delay(delay),
        Whim::Swallow => Intercept::Swallow,
        Whim::SwallowAnswer => Intercept::ProcessThenSwallow,
        Whim::CutAnswer(bytes) => Intercept::CutResponse(bytes),
    }
}
