//! A future that is dropped before its end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Where a future is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    Never,
    /// After this many polls, each of which left it waiting.
    AfterPolls(usize),
    /// After this many polls, when it was woken for the next: what it was given in between is lost with it.
    Woken(usize),
    /// So long after it was begun, while it waits.
    At(Duration),
}

/// How far it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) polls: usize,
    pub(crate) took: Duration,
    pub(crate) completed: bool,
}

/// Remembers that somebody was woken, and wakes the task.
struct Woken {
    woken: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.task.lock().unwrap().wake_by_ref();
    }
}

/// Polls `future` only when it was woken, up to the cut; its result if it came to its end before.
pub(crate) async fn cut<F: Future>(cut: Cut, future: F) -> (Option<F::Output>, Progress) {
    let start = Instant::now();
    let woken = Arc::new(Woken { woken: AtomicBool::new(true), task: Mutex::new(Waker::noop().clone()) });
    let waker = Waker::from(woken.clone());
    let mut polls = 0;
    let mut end = pin!(sleep(if let Cut::At(time) = cut { time } else { Duration::from_secs(600) }));
    let output = {
        let mut future = Box::pin(future);
        poll_fn(|cx| {
            if end.as_mut().poll(cx).is_ready() {
                assert!(matches!(cut, Cut::At(_)), "not done after ten minutes and {polls} polls");
                return Poll::Ready(None);
            }
            *woken.task.lock().unwrap() = cx.waker().clone();
            while cut != Cut::AfterPolls(polls) && woken.woken.swap(false, Ordering::SeqCst) {
                if cut == Cut::Woken(polls) {
                    return Poll::Ready(None);
                }
                polls += 1;
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Poll::Ready(Some(output));
                }
            }
            if cut == Cut::AfterPolls(polls) { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    };
    let completed = output.is_some();
    (output, Progress { polls, took: start.elapsed(), completed })
}
