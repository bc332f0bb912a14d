//! Requests sent and not answered, with their bytes on the way out; part of the connection's core.
//!
//! Everything stands in the order in which it was sent: the bytes to write, the requests, and so their answers. Where in the stream
//! of bytes a request begins and ends says whether the broker can have seen any or all of it. Correlation ids go on from connection
//! to connection, so that not even bytes of an old stream could be taken for an answer.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use crate::network::Outgoing;
use crate::protocol::{ApiKey, DecodeError, EncodeError, Str, header};

/// A request sent, or being sent.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Its owner's number for it; `None` for a request of the set-up.
    pub ticket: Option<u64>,
    /// Which API.
    pub api: ApiKey,
    /// In which version.
    pub version: i16,
    /// When it was put into the output.
    pub since: Instant,
    /// When its time is over.
    pub deadline: Instant,
    /// Was its first byte taken?
    pub is_started: bool,
    /// Was its last?
    pub is_written: bool,
    correlation_id: i32,
    is_flexible: bool,
    expects_response: bool,
    expected_len: usize,
    /// Where in the stream of all bytes queued it begins and ends.
    span: (u64, u64),
}

/// What became of a request when bytes were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Its first byte was among them.
    Started,
    /// Its last was, and no answer is expected: it is no longer in flight.
    Finished,
}

/// An answer that is not the one due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutOfStep {
    /// No request waits for one.
    Unasked,
    /// Its header cannot be read.
    Header(ApiKey, DecodeError),
    /// It answers another request.
    Other { api: ApiKey, due: i32, found: i32 },
}

impl fmt::Display for OutOfStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unasked => f.write_str("it sent an answer that nobody had asked for"),
            Self::Header(api, error) => write!(f, "the header of its answer to {api} cannot be read: {error}"),
            Self::Other { api, due, found } => {
                write!(f, "it answered request {found} where the answer to {api}, request {due}, was due")
            }
        }
    }
}

/// All that is in flight.
#[derive(Default)]
pub(crate) struct InFlight {
    requests: VecDeque<Sent>,
    /// Not yet taken by the transport.
    output: VecDeque<Bytes>,
    /// Bytes ever put into `output`, and ever taken.
    queued: u64,
    taken: u64,
    next_correlation_id: i32,
}

/// Without the bytes: they may be what nobody must see.
impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl InFlight {
    /// Puts header and body into the output, and the request in flight.
    ///
    /// # Errors
    /// When the frame would be too long; nothing has changed then.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        deadline: Instant,
        ticket: Option<u64>,
        client_id: Option<&Str>,
        request: Outgoing,
    ) -> Result<(), EncodeError> {
        let Outgoing { api, version, body, expects_response, expected_len, .. } = request;
        let is_flexible = api.api().is_some_and(|api| (api.is_flexible)(version));
        let correlation_id = self.next_correlation_id;
        let len = body.iter().map(Bytes::len).sum();
        let head = header::encode_request_head(api, version, is_flexible, correlation_id, client_id, len)?;
        self.next_correlation_id = correlation_id.checked_add(1).unwrap_or(0);
        let start = self.queued;
        for bytes in std::iter::once(head).chain(body) {
            if !bytes.is_empty() {
                self.queued += bytes.len() as u64;
                self.output.push_back(bytes);
            }
        }
        self.requests.push_back(Sent {
            ticket,
            api,
            version,
            since: now,
            deadline,
            is_started: false,
            is_written: false,
            correlation_id,
            is_flexible,
            expects_response,
            expected_len,
            span: (start, self.queued),
        });
        Ok(())
    }

    /// What is in flight, in order.
    #[cfg(test)]
    pub(crate) fn requests(&self) -> impl Iterator<Item = &Sent> {
        self.requests.iter()
    }

    /// Requests in flight.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Is nothing in flight?
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Is there something to write?
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// What to write next, in as many of `slices` as there is something for; says how many.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(&self.output) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// The transport took `count` bytes: says which requests it got on by that, in order.
    pub(crate) fn handle_written(&mut self, count: usize, mut tell: impl FnMut(&Sent, Progress)) {
        self.taken += count as u64;
        debug_assert!(self.taken <= self.queued, "more was taken than there was");
        let mut left = count;
        while left > 0 {
            let Some(front) = self.output.front_mut() else { break };
            let step = left.min(front.len());
            front.advance(step);
            left -= step;
            if front.is_empty() {
                self.output.pop_front();
            }
        }
        let taken = self.taken;
        self.requests.retain_mut(|request| {
            if !request.is_started && request.span.0 < taken {
                request.is_started = true;
                tell(request, Progress::Started);
            }
            request.is_written = request.span.1 <= taken;
            let done = request.is_written && !request.expects_response;
            if done {
                tell(request, Progress::Finished);
            }
            !done
        });
    }

    /// Takes out the request that `frame` answers, which must be the oldest one that expects an answer, with the answer's body.
    ///
    /// # Errors
    /// [`OutOfStep`] is final: what else comes cannot be told apart any more.
    pub(crate) fn handle_answer(&mut self, frame: &Bytes) -> Result<(Sent, Bytes), OutOfStep> {
        // Requests without an answer are passed over; one that is not all written cannot have one, nor what follows it.
        let at = self.requests.iter().position(|request| request.expects_response).ok_or(OutOfStep::Unasked)?;
        let request = self.requests.get(at).filter(|request| request.is_written).ok_or(OutOfStep::Unasked)?;
        let (found, body) = header::decode_response(frame, request.api, request.is_flexible)
            .map_err(|error| OutOfStep::Header(request.api, error))?;
        if found != request.correlation_id {
            return Err(OutOfStep::Other { api: request.api, due: request.correlation_id, found });
        }
        let request = self.requests.remove(at).ok_or(OutOfStep::Unasked)?;
        Ok((request, body))
    }

    /// How long the next answer may be by what its request allowed; 0 where that is not known.
    pub(crate) fn expected_len(&self) -> usize {
        self.requests.iter().find(|request| request.expects_response).map_or(0, |request| request.expected_len)
    }

    /// The earliest deadline. Few are in flight, and their deadlines are in no order: a long poll may stand before a heartbeat.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.requests.iter().map(|request| request.deadline).min()
    }

    /// The oldest request whose time is over.
    pub(crate) fn late(&self, now: Instant) -> Option<&Sent> {
        self.requests.iter().find(|request| request.deadline <= now)
    }

    /// Gives all that is in flight so much more time.
    pub(crate) fn extend(&mut self, longer: Duration) {
        for request in &mut self.requests {
            request.deadline += longer;
        }
    }

    /// Forgets all: gives what was in flight, in order.
    pub(crate) fn clear(&mut self) -> VecDeque<Sent> {
        self.output.clear();
        self.taken = self.queued;
        std::mem::take(&mut self.requests)
    }
}
