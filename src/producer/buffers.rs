//! Batches' buffers, used again: memory that is already mapped takes records faster than new memory.
//!
//! A batch gives its buffer back once it is acknowledged and nobody else holds its bytes. Kept is what `buffer.memory` has room for
//! beside the batches in use, so that both together stay within it, and each buffer only as long as it is needed now and then: the
//! one that came last goes first, so those that a burst left behind lie untouched, and are freed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes kept at most, however large the buffer.
const MAX_BYTES: usize = 64 << 20;
/// Buffers kept at most, so that looking for one that fits stays quick.
const MAX_BUFFERS: usize = 256;
/// How long one is kept unused.
const KEPT: Duration = Duration::from_secs(30);

/// Buffers that wait for a batch.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Each with the time it came back, the oldest first.
    buffers: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Buffers {
    /// A buffer with room for `capacity` bytes, and not for many more.
    pub(super) fn take(&self, capacity: usize) -> Option<Vec<u8>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |(_, buffer): &(Instant, Vec<u8>)| (capacity..=capacity.saturating_mul(2)).contains(&buffer.capacity());
        let at = kept.buffers.iter().rposition(fits)?;
        let (_, buffer) = kept.buffers.remove(at)?;
        kept.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps `buffer`, and older ones only as far as all fit into `room` bytes.
    pub(super) fn give(&self, now: Instant, buffer: Vec<u8>, room: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += buffer.capacity();
        kept.buffers.push_back((now, buffer));
        while kept.bytes > room.min(MAX_BYTES) || kept.buffers.len() > MAX_BUFFERS {
            kept.drop_oldest();
        }
    }

    /// When `expire` has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.buffers.front().map(|(came, _)| *came + KEPT)
    }

    /// Frees those that have not been used for a while.
    pub(super) fn expire(&self, now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.buffers.front().is_some_and(|(came, _)| *came + KEPT <= now) {
            kept.drop_oldest();
        }
    }
}

impl Kept {
    fn drop_oldest(&mut self) {
        let freed = self.buffers.pop_front().map_or(0, |(_, buffer)| buffer.capacity());
        self.bytes -= freed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = usize::MAX;

    #[test]
    fn a_buffer_comes_back_if_it_fits() {
        let (buffers, now) = (Buffers::default(), Instant::now());
        buffers.give(now, Vec::with_capacity(1000), ROOM);
        assert!(buffers.take(1001).is_none() && buffers.take(100).is_none());
        assert_eq!(buffers.take(600).map(|buffer| buffer.capacity()), Some(1000));
        assert!(buffers.take(600).is_none());
    }

    #[test]
    fn those_left_untouched_are_freed_while_others_go_on() {
        let (buffers, start) = (Buffers::default(), Instant::now());
        for _ in 0..3 {
            buffers.give(start, Vec::with_capacity(1000), ROOM);
        }
        let later = start + KEPT / 2;
        let used = buffers.take(1000).unwrap();
        buffers.give(later, used, ROOM);
        assert_eq!(buffers.next_timeout(), Some(start + KEPT));
        buffers.expire(start + KEPT);
        assert_eq!(buffers.next_timeout(), Some(later + KEPT), "two were freed, the one in use was not");
        buffers.expire(later + KEPT);
        assert_eq!(buffers.next_timeout(), None);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let (buffers, now) = (Buffers::default(), Instant::now());
        let kept = |buffers: &Buffers| buffers.0.lock().unwrap().buffers.len();
        (0..100).for_each(|_| buffers.give(now, Vec::with_capacity(1000), 3500));
        assert_eq!(kept(&buffers), 3);
        buffers.give(now, Vec::with_capacity(1000), 0);
        assert_eq!(kept(&buffers), 0, "the batches in use need all of it");
        (0..2 * MAX_BUFFERS).for_each(|_| buffers.give(now, Vec::with_capacity(10), ROOM));
        assert_eq!(kept(&buffers), MAX_BUFFERS);
    }
}
