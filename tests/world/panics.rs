//! Panics that a runtime would swallow: tokio catches those of tasks, so a test has to look for them.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Remembers every panic of every thread from now on.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A thread that ends has nowhere to remember it.
            let _ = SEEN.try_with(|seen| seen.borrow_mut().push(panic.to_string()));
            before(panic);
        }));
    });
}

/// No task of this thread's runtime has panicked.
#[track_caller]
pub(crate) fn assert_none() {
    let seen = SEEN.with(|seen| std::mem::take(&mut *seen.borrow_mut()));
    assert!(seen.is_empty(), "a task panicked: {seen:?}");
}
