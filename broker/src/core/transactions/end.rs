//! EndTxn: a producer commits or aborts its transaction.
//!
//! The answer says that the outcome is certain. It does not wait for the markers, as in Kafka.

use std::time::Instant;

use klamm::protocol::ProducerId;
use klamm::protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};

use crate::core::transactions::{End, Identity, Protocol, as_of};
use crate::core::{Call, Core, Outcome};

/// First version that knows PRODUCER_FENCED.
const FENCED: i16 = 2;

/// First version of a producer whose epoch each end raises (KIP-890).
const RAISES_EPOCH: i16 = 5;

impl Core {
    pub(in crate::core) fn end_txn(&mut self, now: Instant, call: &Call, request: EndTxnRequest) -> Outcome<EndTxnResponse> {
        let producer = Identity { id: request.producer_id.0, epoch: request.producer_epoch };
        let end = if request.committed { End::Commit } else { End::Abort };
        let protocol = if call.version >= RAISES_EPOCH { Protocol::V2 } else { Protocol::V1 };
        let (id, moment) = (&request.transactional_id, self.moment(now));
        let ended = self.check_transactional_id(call, id).and_then(|()| {
            self.transactions.change(id.as_str(), |transaction, ids| transaction.end(moment, producer, end, protocol, ids))
        });
        self.write_markers(now);
        Outcome::Reply(match ended {
            Ok(next) => EndTxnResponse { producer_id: ProducerId(next.id), producer_epoch: next.epoch, ..Default::default() },
            Err(code) => EndTxnResponse { error_code: as_of(call.version, FENCED, code), ..Default::default() },
        })
    }
}
