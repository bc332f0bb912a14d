//! What consumers say they subscribe to, as far as the coordinator reads it.

use bytes::Bytes;
use klamm::protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use klamm::protocol::{Cx, Reader, Wire as _};

/// The topics of a member's subscription, which stands behind its version; `None` if it cannot be read.
pub(super) fn topics(metadata: &Bytes) -> Option<Vec<String>> {
    metadata.first_chunk::<2>()?;
    let body = metadata.slice(2..);
    // Read as version 0, with which all later ones begin.
    let cx = Cx { version: 0, flexible: false, nullable: false };
    let subscription = ConsumerProtocolSubscription::take(&mut Reader::new(&body), cx).ok()?;
    Some(subscription.topics.iter().map(|topic| topic.as_str().to_owned()).collect())
}
