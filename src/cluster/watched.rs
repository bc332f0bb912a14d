//! The latest value of something, for many who wait for another: as tokio's `watch`, but they are woken in the order in which they began
//! to wait. Tokio's chooses by chance, and a run that shall be replayed must not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Inner<T> {
    value: RwLock<T>,
    /// Counts the values.
    version: AtomicU64,
    /// There will be no other.
    closed: AtomicBool,
    changed: Notify,
}

impl<T> Inner<T> {
    fn read(&self) -> RwLockReadGuard<'_, T> {
        // Nothing of ours panics while it writes.
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// Who says what the value is. When it is dropped, nobody waits any more.
#[derive(Debug, Default)]
pub(crate) struct Sender<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Sender<T> {
    /// The value now.
    pub(crate) fn borrow(&self) -> RwLockReadGuard<'_, T> {
        self.inner.read()
    }

    /// Somebody who has seen the value of now.
    pub(crate) fn subscribe(&self) -> Receiver<T> {
        Receiver { seen: self.inner.version(), inner: self.inner.clone() }
    }

    /// Another value; gives the one before.
    pub(crate) fn send_replace(&self, value: T) -> T {
        let mut before = value;
        _ = self.send_if_modified(|value| {
            std::mem::swap(value, &mut before);
            true
        });
        before
    }

    /// Changes the value; if `modify` says that it did, those who wait are woken.
    pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        {
            let mut value = self.inner.value.write().unwrap_or_else(PoisonError::into_inner);
            if !modify(&mut value) {
                return false;
            }
            _ = self.inner.version.fetch_add(1, Ordering::Release);
        }
        self.inner.changed.notify_waiters();
        true
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.changed.notify_waiters();
    }
}

/// The sender is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Somebody who waits for another value.
#[derive(Clone, Debug)]
pub(crate) struct Receiver<T> {
    inner: Arc<Inner<T>>,
    seen: u64,
}

impl<T> Receiver<T> {
    /// The value now, which counts as seen.
    pub(crate) fn borrow_and_update(&mut self) -> RwLockReadGuard<'_, T> {
        let value = self.inner.read();
        // Under the lock, so it is the version of this value.
        self.seen = self.inner.version();
        value
    }

    /// The value now.
    pub(crate) fn borrow(&self) -> RwLockReadGuard<'_, T> {
        self.inner.read()
    }

    /// Waits until the value is as wanted.
    ///
    /// # Errors
    /// The sender is gone, and the last value is not.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    pub(crate) async fn wait_for(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> Result<T, Gone>
    where
        T: Clone,
    {
        loop {
            {
                let value = self.borrow_and_update();
                if is_wanted(&value) {
                    return Ok(value.clone());
                }
            }
            self.changed().await?;
        }
    }

    /// The value now counts as seen.
    pub(crate) fn mark_unchanged(&mut self) {
        self.seen = self.inner.version();
    }

    /// Waits until there is a value that was not seen, which then counts as seen.
    ///
    /// # Errors
    /// The sender is gone.
    ///
    /// # Cancel safety
    /// Dropped, it has marked nothing.
    pub(crate) async fn changed(&mut self) -> Result<(), Gone> {
        loop {
            // It hears from here on: what comes between the look and the wait is not missed.
            let mut changed = std::pin::pin!(self.inner.changed.notified());
            _ = changed.as_mut().enable();
            let version = self.inner.version();
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.inner.closed.load(Ordering::Acquire) {
                return Err(Gone);
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_waits_hears_of_another_value_and_of_the_end() {
        let sender = Sender::<u32>::default();
        let mut receiver = sender.subscribe();
        assert_eq!(sender.send_replace(1), 0);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(*receiver.borrow_and_update(), 1);
        assert!(!sender.send_if_modified(|_| false));
        let silent = tokio::time::timeout(Duration::from_millis(5), receiver.changed()).await;
        assert!(silent.is_err(), "nothing has changed");
        _ = sender.send_replace(2);
        receiver.mark_unchanged();
        let waits = tokio::spawn(async move { receiver.changed().await });
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(waits.await.unwrap(), Err(Gone));
    }

    #[tokio::test]
    async fn who_came_first_is_woken_first() {
        let sender = Sender::<u32>::default();
        let order = Arc::new(Mutex::new(Vec::new()));
        let waits = (0..20).map(|number| {
            let (mut receiver, order) = (sender.subscribe(), order.clone());
            tokio::spawn(async move {
                receiver.changed().await.unwrap();
                order.lock().unwrap().push(number);
            })
        });
        let waits: Vec<_> = waits.collect();
        tokio::task::yield_now().await;
        _ = sender.send_replace(1);
        for wait in waits {
            wait.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    }
}
