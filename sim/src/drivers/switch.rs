//! Something that happens once, for several who wait for it: they are woken in the order in which they began to wait.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Switch<T>(Arc<(Mutex<Option<T>>, Notify)>);

impl<T> Default for Switch<T> {
    fn default() -> Self {
        Self(Arc::new((Mutex::new(None), Notify::new())))
    }
}

impl<T: Copy> Switch<T> {
    /// It happens, unless it has.
    pub(super) fn set(&self, value: T) {
        let (state, notify) = &*self.0;
        _ = state.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(value);
        notify.notify_waiters();
    }

    /// What has happened.
    pub(super) fn get(&self) -> Option<T> {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for it.
    pub(super) async fn wait(&self) -> T {
        loop {
            let mut notified = std::pin::pin!(self.0.1.notified());
            _ = notified.as_mut().enable();
            if let Some(value) = self.get() {
                return value;
            }
            notified.await;
        }
    }
}
