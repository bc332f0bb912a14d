//! InitProducerId: a number and an epoch for a producer.
//!
//! Without a transactional id any node gives a new number. With one it is the coordinator, and an earlier instance of the producer is
//! shut out.

use std::time::{Duration, Instant};

use klamm::protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use klamm::protocol::{ErrorCode, ProducerId};

use crate::core::transactions::{Identity, Transaction, as_of};
use crate::core::{Call, Core, Outcome};

/// First version that knows PRODUCER_FENCED.
const FENCED: i16 = 4;

impl Core {
    pub(in crate::core) fn init_producer_id(
        &mut self,
        now: Instant,
        call: &Call,
        request: InitProducerIdRequest,
    ) -> Outcome<InitProducerIdResponse> {
        let (error_code, given) = match self.give_producer_id(now, call, &request) {
            Ok(given) => (ErrorCode::NONE, given),
            Err(code) => (as_of(call.version, FENCED, code), Identity { id: -1, epoch: -1 }),
        };
        // An open transaction may have been aborted on the way.
        self.write_markers(now);
        let (producer_id, producer_epoch) = (ProducerId(given.id), given.epoch);
        Outcome::Reply(InitProducerIdResponse { error_code, producer_id, producer_epoch, ..Default::default() })
    }

    fn give_producer_id(&mut self, now: Instant, call: &Call, request: &InitProducerIdRequest) -> Result<Identity, ErrorCode> {
        let expected = match (request.producer_id.0, request.producer_epoch) {
            (-1, -1) => None,
            (-1, _) | (_, -1) => return Err(ErrorCode::INVALID_REQUEST),
            (id, epoch) => Some(Identity { id, epoch }),
        };
        let Some(transactional_id) = &request.transactional_id else {
            return Ok(Identity { id: self.transactions.ids.next(), epoch: 0 });
        };
        let name = transactional_id.as_str();
        if name.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        // Transactions that outlive their producer (KIP-939) have to be switched on, and are not.
        if request.enable2_pc {
            return Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
        }
        if request.keep_prepared_txn {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        let timeout = Duration::from_millis(u64::try_from(request.transaction_timeout_ms).unwrap_or(0));
        if timeout.is_zero() || timeout > self.settings.transaction_max_timeout {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        self.check_coordinator(call, name)?;
        let (now, protocol) = (self.moment(now), self.protocol());
        let transactions = &mut self.transactions;
        if !transactions.by_id.contains_key(name) {
            let id = transactions.ids.next();
            transactions.by_id.insert(name.to_owned(), Transaction::new(now, id));
        }
        transactions.change(name, |transaction, ids| transaction.init(now, timeout, expected, protocol, ids))
    }
}
