//! Panics of tasks, which tokio catches: a run in which one happened has failed.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    /// What the panics of this thread said, while a run is on.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// While it lives, panics of this thread are kept and not printed.
#[derive(Debug)]
pub(super) struct Watch(());

/// Begins to watch.
pub(super) fn watch() -> Watch {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let kept = SEEN.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.push(panic.to_string())).is_some());
            if !kept {
                before(panic);
            }
        }));
    });
    SEEN.set(Some(Vec::new()));
    Watch(())
}

impl Watch {
    /// The first one.
    pub(super) fn first(&self) -> Option<String> {
        SEEN.with_borrow(|seen| seen.as_ref().and_then(|seen| seen.first().cloned()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        SEEN.set(None);
    }
}
