//! The user's end of a member: reads, marks, commits, and goes.

use std::time::{Duration, Instant};

use super::{FAREWELL, Handed, Mark, Member, Notice, Then, Told, named};
use crate::cluster::refresh;
use crate::consumer::fetch::{self, Item};
use crate::consumer::group::Command;
use crate::consumer::positions::Checkpoint;
use crate::consumer::state::State;
use crate::network::line::Lines;

impl Member {
    /// The user comes into a call that reads, or goes off.
    pub(crate) fn set_polling(&mut self, now: Instant, polling: bool) {
        self.is_polling = polling;
        self.command(now, Command::Polled);
    }

    /// What the user is told next.
    pub(crate) fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// The record was processed, and all before it.
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.shared.lock().mark(mark.place, mark.offset, mark.leader_epoch, 1);
    }

    /// The user wants a commit of all that is marked; [`Told::Committed`] comes with this number.
    pub(crate) fn commit(&mut self, number: u64) {
        self.wanted.push_back(number);
    }

    /// The next record for a user that reads; deals with what interrupts first.
    pub(crate) fn read(&mut self, now: Instant) -> Option<Handed> {
        loop {
            if self.over || self.giving.is_some() {
                return None;
            }
            if let Some(notice) = self.notices.pop_front() {
                self.hear(now, notice);
                continue;
            }
            let shared = self.shared.clone();
            let mut state = shared.lock();
            state.interrupted = false;
            self.keep_or_drop_chunk(&mut state);
            let Some((chunk, partition)) = &mut self.chunk else {
                match state.fetch.take(now) {
                    Some(Item::Chunk(chunk)) => {
                        let partition = state.positions.name(chunk.place()).cloned();
                        self.chunk = partition.map(|partition| (chunk, partition));
                    }
                    Some(Item::OutOfRange { place, offset }) => {
                        if let Err(error) = state.out_of_range(now, place, offset) {
                            self.told.push_back(Told::Trouble(error.to_string()));
                        }
                    }
                    Some(Item::Fault { error, .. }) => self.told.push_back(Told::Trouble(error.to_string())),
                    None => return None,
                }
                continue;
            };
            let prepared = chunk.prepare(self.limits);
            let extra = chunk.extra();
            state.fetch.recharge(std::mem::replace(&mut self.charged, extra), extra);
            match prepared {
                Ok(true) => {}
                Ok(false) => {
                    let place = chunk.place();
                    state.fetch.recharge(std::mem::take(&mut self.charged), 0);
                    state.pass(place, chunk.next());
                    state.fetch.release(place, chunk.size());
                    self.chunk = None;
                    continue;
                }
                Err((offset, fault)) => {
                    let (place, size) = (chunk.place(), chunk.size());
                    let error = fetch::unreadable(partition, offset, fault);
                    self.chunk = None;
                    state.fetch.recharge(std::mem::take(&mut self.charged), 0);
                    state.fetch.release(place, size);
                    let next = Checkpoint { offset, leader_epoch: None };
                    state.pass(place, next);
                    state.rewind(now, place, offset);
                    state.fetch.fail(now, place.slot);
                    self.told.push_back(Told::Trouble(error.to_string()));
                    continue;
                }
            }
            let place = chunk.place();
            match chunk.read(partition) {
                Some(Ok((message, next))) => {
                    state.positions.hand_out(place, message.offset, next);
                    return Some(Handed {
                        topic: partition.topic.as_str().to_owned(),
                        partition: partition.partition,
                        offset: message.offset,
                        value: message.value.as_deref().unwrap_or_default().to_vec(),
                        mark: Mark { place, offset: message.offset, leader_epoch: message.leader_epoch },
                    });
                }
                Some(Err((_, fault))) => {
                    drop(state);
                    self.told.push_back(Told::Trouble(fault.to_string()));
                }
                // The batch is used up; the next turn opens another.
                None => {}
            }
        }
    }

    fn keep_or_drop_chunk(&mut self, state: &mut State) {
        let Some((chunk, _)) = self.chunk.take_if(|(chunk, _)| !state.may_hand_out(chunk.place())) else { return };
        state.fetch.recharge(std::mem::take(&mut self.charged), 0);
        let place = chunk.place();
        if state.positions.is_current(place) {
            state.fetch.put_back(chunk);
        } else {
            state.fetch.release(place, chunk.size());
        }
    }

    fn hear(&mut self, now: Instant, notice: Notice) {
        match notice {
            Notice::Assigned(partitions) => self.told.push_back(Told::Assigned(named(&partitions))),
            Notice::Lost(partitions) => self.told.push_back(Told::Lost(named(&partitions))),
            Notice::Trouble(error) => self.told.push_back(Told::Trouble(error.to_string())),
            // Nobody waits for it any more: they are lost, which is told next.
            Notice::Revoking(ticket, ..) if self.core.awaited() != Some(ticket) => {}
            Notice::Revoking(ticket, partitions, deadline) => {
                let commit = self.shared.lock().take_commit(now);
                self.giving = Some(ticket);
                self.begin_commit(now, commit, deadline, Then::GiveAway(ticket, partitions));
            }
        }
    }

    /// Ends it: in order with a last commit, or (dropped) without.
    pub(crate) fn leave(&mut self, now: Instant, deadline: Option<Duration>) {
        self.notices.clear();
        self.giving = None;
        self.chunk = None;
        match deadline {
            Some(within) => {
                let commit = self.shared.lock().take_commit(now);
                self.begin_commit(now, commit, now + within, Then::Leave(now + within));
            }
            None => self.command(now, Command::Leave { deadline: now + FAREWELL }),
        }
        self.shared.lock().fetch.clear();
    }

    /// Has it left, or failed?
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Bytes fetched ahead.
    pub(crate) fn buffered(&self) -> usize {
        self.shared.lock().fetch.buffered()
    }

    /// Its connections close, for it is over.
    pub(crate) fn end(&mut self, now: Instant, lines: &mut Lines) {
        let talks = std::mem::take(&mut self.connections).into_values().chain(self.link.take()).chain(self.side.take());
        talks.for_each(|talk| talk.close(lines));
        let topics = [&mut self.interests, &mut self.group_interests, &mut self.followed].map(std::mem::take);
        for topic in topics.into_iter().flatten() {
            self.hub().command(now, refresh::Command::Unuse(topic));
        }
        self.shared.lock().fetch.clear();
        self.chunk = None;
    }
}
