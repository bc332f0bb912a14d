//! Producers: records into batches, batches to their leaders, each acknowledged once.
