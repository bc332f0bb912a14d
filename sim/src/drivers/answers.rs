//! Which error codes a client was answered with: both directions of a connection are followed, frame by frame.

use std::collections::VecDeque;

use bytes::Bytes;
use klamm::protocol::frame::Frames;
use klamm::protocol::header::{RequestHeader, decode_response};
use klamm::protocol::messages::api_versions::ApiVersionsRequest;
use klamm::protocol::messages::fetch::FetchRequest;
use klamm::protocol::messages::find_coordinator::FindCoordinatorRequest;
use klamm::protocol::messages::heartbeat::HeartbeatRequest;
use klamm::protocol::messages::init_producer_id::InitProducerIdRequest;
use klamm::protocol::messages::join_group::JoinGroupRequest;
use klamm::protocol::messages::leave_group::LeaveGroupRequest;
use klamm::protocol::messages::list_offsets::ListOffsetsRequest;
use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::protocol::messages::offset_commit::OffsetCommitRequest;
use klamm::protocol::messages::offset_fetch::OffsetFetchRequest;
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::messages::sync_group::SyncGroupRequest;
use klamm::protocol::{ApiKey, ApiMessage, ErrorCode, Request};

use crate::history::{Event, Who};
use crate::trouble::Direction;

/// The largest frame of a run.
const LONGEST: usize = 64 << 20;

/// What one connection says. Answers come in the order of their requests.
#[derive(Debug)]
pub(crate) struct Conversation {
    up: Frames,
    down: Frames,
    /// API and version of what was not answered yet.
    asked: VecDeque<(ApiKey, i16)>,
}

impl Default for Conversation {
    fn default() -> Self {
        Self { up: Frames::new(LONGEST), down: Frames::new(LONGEST), asked: VecDeque::new() }
    }
}

impl Conversation {
    /// Bytes pass; `found` hears of each code that was answered.
    pub(crate) fn pass(&mut self, direction: Direction, bytes: &[u8], mut found: impl FnMut(&str, i16)) {
        match direction {
            Direction::Up => {
                self.up.read_buffer().extend_from_slice(bytes);
                while let Ok(Some(frame)) = self.up.next_frame() {
                    let Ok((header, body)) = RequestHeader::decode(&frame) else { continue };
                    let is_silent = header.api_key == ApiKey::PRODUCE
                        && ProduceRequest::decode(&body, header.api_version).is_ok_and(|produce| produce.acks == 0);
                    if !is_silent {
                        self.asked.push_back((header.api_key, header.api_version));
                    }
                }
            }
            Direction::Down => {
                self.down.read_buffer().extend_from_slice(bytes);
                while let Ok(Some(frame)) = self.down.next_frame() {
                    let Some((api, version)) = self.asked.pop_front() else { continue };
                    for code in codes(api, version, &frame).unwrap_or_default() {
                        found(name(api), code.0);
                    }
                }
            }
        }
    }
}

/// What the history is told of a code that tells a member that it is out, whether it is or not.
pub(crate) fn thrown_out(who: Who, code: i16) -> Option<Event> {
    let is_out = matches!(ErrorCode(code), ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION);
    match who {
        Who::Member(member) if is_out => Some(Event::ThrownOut { member }),
        _ => None,
    }
}

/// The answer to an `R`.
fn answer<R: Request>(version: i16, frame: &Bytes) -> Option<R::Response> {
    let (_, body) = decode_response(frame, ApiKey(R::API_KEY), R::is_flexible(version)).ok()?;
    R::Response::decode(&body, version).ok()
}

/// All codes in an answer, zeros too, each once.
fn codes(api: ApiKey, version: i16, frame: &Bytes) -> Option<Vec<ErrorCode>> {
    let mut codes: Vec<ErrorCode> = match api {
        ApiKey::PRODUCE => {
            let answer = answer::<ProduceRequest>(version, frame)?;
            answer.responses.iter().flat_map(|topic| &topic.partition_responses).map(|it| it.error_code).collect()
        }
        ApiKey::FETCH => {
            let answer = answer::<FetchRequest>(version, frame)?;
            let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions).map(|it| it.error_code);
            partitions.chain([answer.error_code]).collect()
        }
        ApiKey::METADATA => {
            let answer = answer::<MetadataRequest>(version, frame)?;
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|it| it.error_code);
            answer.topics.iter().map(|topic| topic.error_code).chain(partitions).collect()
        }
        ApiKey::LIST_OFFSETS => {
            let answer = answer::<ListOffsetsRequest>(version, frame)?;
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|it| it.error_code).collect()
        }
        ApiKey::OFFSET_COMMIT => {
            let answer = answer::<OffsetCommitRequest>(version, frame)?;
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|it| it.error_code).collect()
        }
        ApiKey::OFFSET_FETCH => {
            let answer = answer::<OffsetFetchRequest>(version, frame)?;
            let groups = answer.groups.iter().map(|group| group.error_code);
            let in_groups = answer.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| &topic.partitions);
            groups.chain(in_groups.map(|it| it.error_code)).chain([answer.error_code]).collect()
        }
        ApiKey::FIND_COORDINATOR => {
            let answer = answer::<FindCoordinatorRequest>(version, frame)?;
            answer.coordinators.iter().map(|it| it.error_code).chain([answer.error_code]).collect()
        }
        ApiKey::JOIN_GROUP => vec![answer::<JoinGroupRequest>(version, frame)?.error_code],
        ApiKey::SYNC_GROUP => vec![answer::<SyncGroupRequest>(version, frame)?.error_code],
        ApiKey::HEARTBEAT => vec![answer::<HeartbeatRequest>(version, frame)?.error_code],
        ApiKey::LEAVE_GROUP => vec![answer::<LeaveGroupRequest>(version, frame)?.error_code],
        ApiKey::INIT_PRODUCER_ID => vec![answer::<InitProducerIdRequest>(version, frame)?.error_code],
        ApiKey::API_VERSIONS => vec![answer::<ApiVersionsRequest>(version, frame)?.error_code],
        _ => return None,
    };
    codes.sort_by_key(|code| code.0);
    codes.dedup();
    Some(codes)
}

fn name(api: ApiKey) -> &'static str {
    api.name().unwrap_or("another API")
}
