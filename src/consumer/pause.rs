//! Which partitions the user has paused, and until when.
//!
//! A pause holds back what was not handed out yet, without giving the partition away: heartbeats go on, what was prefetched is kept. It
//! ends by [`resume`](Pauses::resume) or when its time is over. With exponential backoff every pause that follows another without a
//! success in between lasts twice as long; that is how a failing partition is retried more and more slowly. The count belongs to the
//! partition's name and not to an assignment, but what a rebalance takes away is forgotten.
//!
//! Pure: the time comes in as an argument. A partition that is not assigned may be paused; it begins paused if it comes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::{Error, ErrorKind, Result, TopicPartition};

/// How long a pause lasts. The default is until it is resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until they are given to `pause_with`"]
pub struct PauseOptions {
    timeout: Option<Duration>,
    max_timeout: Option<Duration>,
    exponential_backoff: bool,
}

impl PauseOptions {
    /// Until it is resumed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The pause ends by itself after this time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Each further pause lasts twice as long as the one before, until a record of the partition was processed with success.
    pub fn exponential_backoff(mut self, exponential_backoff: bool) -> Self {
        self.exponential_backoff = exponential_backoff;
        self
    }

    /// The longest that exponential backoff makes a pause.
    pub fn max_timeout(mut self, max_timeout: Duration) -> Self {
        self.max_timeout = Some(max_timeout);
        self
    }

    fn check(&self) -> Result<()> {
        let refuse = |message| Err(Error::new(ErrorKind::InvalidRequest, message));
        match self {
            Self { max_timeout: Some(_), exponential_backoff: false, .. } => {
                refuse("`max_timeout` of a pause only means something with `exponential_backoff`: set it, or leave the limit out")
            }
            Self { timeout: None, exponential_backoff: true, .. } => {
                refuse("`exponential_backoff` of a pause needs a `timeout` to begin with")
            }
            _ => Ok(()),
        }
    }

    /// How long the `times`-th pause in a row lasts; `None` without end.
    fn duration(&self, times: u32) -> Option<Duration> {
        let timeout = self.timeout?;
        if !self.exponential_backoff {
            return Some(timeout);
        }
        let grown = timeout.saturating_mul(2u32.saturating_pow(times.saturating_sub(1)));
        Some(self.max_timeout.map_or(grown, |max| grown.min(max)))
    }
}

/// The paused partitions, and those that were paused and had no success since.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    partitions: BTreeMap<TopicPartition, Pause>,
}

#[derive(Debug)]
struct Pause {
    /// Pauses in a row.
    times: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Paused; `None`: until it is resumed.
    Until(Option<Instant>),
    /// Not paused, only remembered for the count.
    Over,
}

impl Pauses {
    /// Pauses `partition` from `now` on; an earlier pause is replaced.
    ///
    /// # Errors
    /// Options that contradict each other; nothing is changed.
    pub(crate) fn pause(&mut self, now: Instant, partition: TopicPartition, options: PauseOptions) -> Result<()> {
        options.check()?;
        let pause = self.partitions.entry(partition).or_insert(Pause { times: 0, state: State::Over });
        pause.times = pause.times.saturating_add(1);
        // A time too far off to be expressed is as good as none.
        pause.state = State::Until(options.duration(pause.times).and_then(|duration| now.checked_add(duration)));
        Ok(())
    }

    /// Ends the pause; the count stays until a success. Was it paused?
    pub(crate) fn resume(&mut self, partition: &TopicPartition) -> bool {
        let Some(pause) = self.partitions.get_mut(partition) else { return false };
        std::mem::replace(&mut pause.state, State::Over) != State::Over
    }

    /// A record of the partition was processed: the next pause is a first one again.
    #[inline]
    pub(crate) fn succeeded(&mut self, partition: &TopicPartition) {
        if self.partitions.is_empty() {
            return;
        }
        // A pause that runs was called for by the very processing that now succeeds: it still counts.
        if self.partitions.get(partition).is_some_and(|pause| pause.state == State::Over) {
            self.partitions.remove(partition);
        }
    }

    /// The partition was given away.
    pub(crate) fn forget(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
    }

    /// Is it paused at `now`?
    pub(crate) fn is_paused(&self, now: Instant, partition: &TopicPartition) -> bool {
        match self.partitions.get(partition).map(|pause| pause.state) {
            Some(State::Until(until)) => until.is_none_or(|until| now < until),
            _ => false,
        }
    }

    /// All that are paused at `now`, in order.
    pub(crate) fn paused(&self, now: Instant) -> Vec<TopicPartition> {
        self.partitions.keys().filter(|partition| self.is_paused(now, partition)).cloned().collect()
    }

    /// Takes note of pauses whose time is over at `now`, and tells which they were.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<TopicPartition> {
        let mut expired = Vec::new();
        for (partition, pause) in &mut self.partitions {
            if matches!(pause.state, State::Until(Some(until)) if until <= now) {
                pause.state = State::Over;
                expired.push(partition.clone());
            }
        }
        expired
    }

    /// When the next pause is over by itself.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let until = self.partitions.values().filter_map(|pause| match pause.state {
            State::Until(until) => until,
            State::Over => None,
        });
        until.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Pauses three times in a row without success and tells how long each pause was.
    fn three_pauses(options: PauseOptions) -> Vec<Duration> {
        let (mut pauses, partition) = (Pauses::default(), TopicPartition::new("t", 0));
        let mut now = Instant::now();
        (0..3)
            .map(|_| {
                pauses.pause(now, partition.clone(), options).unwrap();
                let until = pauses.next_timeout().unwrap();
                let lasted = until - now;
                now = until;
                assert_eq!(pauses.expire(now), std::slice::from_ref(&partition));
                lasted
            })
            .collect()
    }

    #[test]
    fn rk_149_a_pause_of_10_s_at_30_holds_at_39_and_not_at_40() {
        let start = Instant::now();
        let (mut pauses, partition) = (Pauses::default(), TopicPartition::new("t", 0));
        pauses.pause(start + seconds(30), partition.clone(), PauseOptions::new().timeout(seconds(10))).unwrap();
        assert!(pauses.is_paused(start + seconds(39), &partition));
        assert!(!pauses.is_paused(start + seconds(40), &partition));
        assert_eq!(pauses.expire(start + seconds(39)), []);
        assert_eq!(pauses.expire(start + seconds(40)), [partition]);
        assert_eq!(pauses.next_timeout(), None);
    }

    #[test]
    fn rk_150_exponential_backoff_doubles_each_pause_without_success() {
        let options = PauseOptions::new().timeout(seconds(10)).exponential_backoff(true);
        assert_eq!(three_pauses(options), [seconds(10), seconds(20), seconds(40)]);
    }

    #[test]
    fn rk_151_max_timeout_bounds_the_backoff() {
        let options = PauseOptions::new().timeout(seconds(10)).exponential_backoff(true).max_timeout(seconds(30));
        assert_eq!(three_pauses(options), [seconds(10), seconds(20), seconds(30)]);
    }

    #[test]
    fn rk_152_max_timeout_without_exponential_backoff_is_refused() {
        let mut pauses = Pauses::default();
        let options = PauseOptions::new().timeout(seconds(10)).max_timeout(seconds(30));
        let error = pauses.pause(Instant::now(), TopicPartition::new("t", 0), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.to_string().contains("exponential_backoff"), "{error}");
        assert!(pauses.partitions.is_empty());
    }

    #[test]
    fn rk_153_a_pause_without_timeout_ends_only_by_resume() {
        let (mut pauses, partition, now) = (Pauses::default(), TopicPartition::new("t", 0), Instant::now());
        pauses.pause(now, partition.clone(), PauseOptions::new()).unwrap();
        assert_eq!(pauses.next_timeout(), None);
        assert!(pauses.is_paused(now + seconds(1_000_000), &partition));
        assert!(pauses.resume(&partition));
        assert!(!pauses.is_paused(now, &partition));
        assert!(!pauses.resume(&partition), "it was not paused any more");
    }

    #[test]
    fn rk_154_a_success_after_two_pauses_makes_the_next_a_first_one() {
        let (mut pauses, partition, now) = (Pauses::default(), TopicPartition::new("t", 0), Instant::now());
        let options = PauseOptions::new().timeout(seconds(10)).exponential_backoff(true);
        for _ in 0..2 {
            pauses.pause(now, partition.clone(), options).unwrap();
            pauses.resume(&partition);
        }
        pauses.succeeded(&partition);
        pauses.pause(now, partition.clone(), options).unwrap();
        assert_eq!(pauses.next_timeout(), Some(now + seconds(10)));
        // The processing that asked for a pause and then returned without error does not undo it.
        pauses.succeeded(&partition);
        assert!(pauses.is_paused(now, &partition));
    }

    #[test]
    fn resuming_what_was_never_paused_does_nothing() {
        let mut pauses = Pauses::default();
        assert!(!pauses.resume(&TopicPartition::new("t", 7)));
        assert_eq!(pauses.paused(Instant::now()), []);
    }
}
