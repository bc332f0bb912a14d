//! Batches' buffers, used again: memory that is already mapped takes records faster than new memory.
//!
//! A batch gives its buffer back once it is acknowledged and nobody else holds its bytes. Few are kept, and none for minutes
//! in which nothing is sent.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes kept at most.
const MAX_BYTES: usize = 4 << 20;
/// Buffers kept at most.
const MAX_BUFFERS: usize = 16;
/// How long they are kept unused.
const KEPT: Duration = Duration::from_secs(30);

/// Buffers that wait for a batch.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    used: Option<Instant>,
}

impl Buffers {
    /// A buffer with room for `capacity` bytes, and not for many more.
    pub(super) fn take(&self, now: Instant, capacity: usize) -> Option<Vec<u8>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<u8>| (capacity..=capacity.saturating_mul(2)).contains(&buffer.capacity());
        let at = kept.buffers.iter().rposition(fits)?;
        let buffer = kept.buffers.swap_remove(at);
        kept.bytes -= buffer.capacity();
        kept.used = Some(now);
        Some(buffer)
    }

    /// Keeps `buffer` if there is room for it.
    pub(super) fn give(&self, now: Instant, buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.buffers.len() < MAX_BUFFERS && kept.bytes + buffer.capacity() <= MAX_BYTES {
            kept.bytes += buffer.capacity();
            kept.used = Some(now);
            kept.buffers.push(buffer);
        }
    }

    /// When `expire` has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.buffers.is_empty() { None } else { kept.used.map(|used| used + KEPT) }
    }

    /// Frees all of them if they have not been used for a while.
    pub(super) fn expire(&self, now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.used.is_some_and(|used| used + KEPT <= now) {
            *kept = Kept::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_while_they_are_used_and_fit() {
        let (buffers, now) = (Buffers::default(), Instant::now());
        buffers.give(now, Vec::with_capacity(1000));
        assert!(buffers.take(now, 1001).is_none() && buffers.take(now, 100).is_none());
        assert_eq!(buffers.take(now, 600).map(|buffer| buffer.capacity()), Some(1000));
        assert!(buffers.take(now, 600).is_none());

        buffers.give(now, Vec::with_capacity(1000));
        assert_eq!(buffers.next_timeout(), Some(now + KEPT));
        buffers.expire(now + KEPT);
        assert!(buffers.take(now, 1000).is_none());
        assert_eq!(buffers.next_timeout(), None);
    }

    #[test]
    fn few_are_kept() {
        let (buffers, now) = (Buffers::default(), Instant::now());
        (0..100).for_each(|_| buffers.give(now, Vec::with_capacity(MAX_BYTES / 3)));
        assert_eq!(buffers.0.lock().unwrap().buffers.len(), 3);
    }
}
