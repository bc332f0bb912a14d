//! Panics that a runtime would swallow: tokio catches those of tasks, so a test has to look for them.

use std::sync::{Mutex, Once};
use std::thread::current;

/// The names of threads, and what they said.
static SEEN: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Remembers every panic of every thread from now on.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = current().name().unwrap_or_default().to_owned();
            SEEN.lock().unwrap().push((thread, panic.to_string()));
            before(panic);
        }));
    });
}

/// No task has panicked on this thread, which is the whole of a current-thread runtime.
#[track_caller]
pub(crate) fn assert_none() {
    assert_none_of(current().name().unwrap_or_default());
}

/// None has on the threads of this name.
#[track_caller]
pub(crate) fn assert_none_of(thread: &str) {
    let seen: Vec<_> = SEEN.lock().unwrap().extract_if(.., |(name, _)| name == thread).collect();
    assert!(seen.is_empty(), "a task panicked: {seen:?}");
}
