//! The bytes a producer may hold: charged when a batch is opened or grows, given back when it ends.
//!
//! Who finds no room waits in line, and room is handed out in that order, so a large record is not starved by small ones. A waiter
//! that is dropped leaves the line and gives back what it had been given.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, TryAcquireError};

/// The budget.
#[derive(Debug)]
pub(super) struct Memory {
    semaphore: Semaphore,
    total: usize,
    waiting: AtomicUsize,
}

impl Memory {
    pub(super) fn new(total: usize) -> Arc<Self> {
        let total = total.min(Semaphore::MAX_PERMITS);
        Arc::new(Self { semaphore: Semaphore::new(total), total, waiting: AtomicUsize::new(0) })
    }

    /// All of it.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.total - self.semaphore.available_permits().min(self.total)
    }

    /// Does anyone wait for room?
    pub(super) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// `bytes` of it if there is room now. More than there is at all counts as all there is.
    pub(super) fn try_charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let bytes = self.clamp(bytes);
        match self.semaphore.try_acquire_many(bytes) {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return None,
        }
        Some(Charge { memory: self.clone(), bytes })
    }

    /// As `try_charge`, in line with others until there is room; `None` once the budget was closed.
    pub(super) async fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let bytes = self.clamp(bytes);
        let _waiting = self.waiting();
        self.semaphore.acquire_many(bytes).await.ok()?.forget();
        Some(Charge { memory: self.clone(), bytes })
    }

    /// Somebody waits for room, or is about to, until the answer is dropped.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// Nobody gets any more, and nobody waits any longer.
    pub(super) fn close(&self) {
        self.semaphore.close();
    }

    fn clamp(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.total)).unwrap_or(u32::MAX)
    }
}

/// See [`Memory::waiting`].
pub(super) struct Waiting<'a>(&'a Memory);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    memory: Arc<Memory>,
    bytes: u32,
}

impl Charge {
    pub(super) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Makes it `bytes` if there is room now.
    pub(super) fn try_grow(&mut self, bytes: usize) -> bool {
        let more = self.memory.clamp(bytes).saturating_sub(self.bytes);
        match self.memory.semaphore.try_acquire_many(more) {
            Ok(permit) => permit.forget(),
            Err(_) => return false,
        }
        self.bytes += more;
        true
    }

    /// Gives back what is more than `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(self.memory.clamp(bytes));
        self.bytes -= less;
        self.memory.semaphore.add_permits(less as usize);
    }

    /// Takes `bytes` of it apart.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = self.memory.clamp(bytes).min(self.bytes);
        self.bytes -= bytes;
        Self { memory: self.memory.clone(), bytes }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.semaphore.add_permits(self.bytes as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn charges_come_back_to_the_budget() {
        let memory = Memory::new(100);
        let mut charge = memory.try_charge(40).unwrap();
        let rest = memory.try_charge(20).unwrap();
        assert!(charge.try_grow(80) && !charge.try_grow(81));
        drop(rest);
        assert_eq!((charge.bytes(), memory.used()), (80, 80));
        charge.shrink(30);
        let part = charge.split(10);
        assert_eq!((memory.used(), part.bytes()), (30, 10));
        drop((charge, part));
        assert_eq!(memory.used(), 0);
        assert_eq!(memory.try_charge(1000).unwrap().bytes(), 100, "what is larger than the budget takes all of it");
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_handed_out_in_line_and_a_dropped_waiter_leaves_it() {
        let memory = Memory::new(100);
        let all = memory.try_charge(100).unwrap();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, bytes) in [("large", 90), ("dropped", 50), ("small", 10)] {
            let (memory, order) = (memory.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let charge = memory.charge(bytes).await.unwrap();
                order.lock().unwrap().push(name);
                charge
            }));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(memory.is_short());
        let mut all = all;
        all.shrink(80);
        assert!(memory.try_charge(5).is_none(), "nobody overtakes the line");
        tasks[1].abort();
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(all);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(*order.lock().unwrap(), ["large", "small"]);
        for task in tasks {
            drop(task.await);
        }
        assert_eq!(memory.used(), 0);
        assert!(!memory.is_short());
    }
}
