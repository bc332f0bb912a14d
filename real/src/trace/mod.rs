//! Request traces: the same requests played to klamm-broker and to Apache Kafka over bare connections, and the answers compared.
//!
//! A trace is a text file under `real/honest/traces`, read when the test runs. Each step is a line, its body of JSON behind it or on
//! indented lines below:
//!
//! ```text
//! # What a comment says.
//! CreateTopics create {"topics": [{"name": "t%", "numPartitions": 2, "replicationFactor": 1}], "timeoutMs": 5000}
//! Metadata settled settle id=/topics/0/topicId {"topics": [{"name": "t%"}]}
//! @other Produce@3-12 by_name {"acks": 1, "topicData": [{"name": "t%", "partitionData": [{"index": 0, "records": "batch n=2"}]}]}
//! ```
//!
//! It says connection (`@`), API, perhaps versions, the step's name, flags, and what is kept of the answer (a JSON pointer). A field of
//! the body that is not given has its default; one that the version does not have is left out. `%` in a text is what makes names
//! unique, `$id` is what was kept, `$T+5` five milliseconds after the time
//! that records have, `batch …` in a field of records is a record batch (`body.rs`), `text:…` in one of bytes is that text.
//!
//! | flag | meaning |
//! |---|---|
//! | `settle` | asked again until the answer has no error code: what a cluster does in its own time |
//! | `nowait` | sent, and read by a later step `await` |
//! | `noanswer` | sent; there is no answer, as the next step on this connection shows |
//! | `own` | of arrays, only elements are compared whose name this trace has made |
//! | `client=C` | another client id; `client=null` for none |
//! | `as=V` | the header says version V, whatever the body is |
//! | `cut=N`, `extra=HEX` | the body lacks its last N bytes, or has more behind it |
//!
//! Other steps: `await NAME`, `sleep MILLIS`, `close`, `frame NAME HEX` (a frame of these bytes), `bytes NAME HEX` (without a length before it).
//!
//! A trace is played in rounds, so that every version that both sides know of every API it uses is played at least once.

mod body;
mod compare;
mod differences;
mod malformed;
mod parse;
mod play;

pub use compare::{Compared, Difference, compare};
pub use differences::{Listed, summary};
pub use malformed::malformed;
pub use parse::{Step, Trace, What};
pub use play::{Outcome, Ranges, Side, play};
