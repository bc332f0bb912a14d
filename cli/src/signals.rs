//! SIGINT and SIGTERM: the first asks to stop in order, the second ends at once with 130.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether a stop was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Begins to listen. Must be called inside the runtime.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            for _ in 0..2 {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if sender.send_replace(true) {
                    std::process::exit(130);
                }
                eprintln!("stopping; once more to end at once");
            }
        });
        Ok(Self(receiver))
    }

    /// Was it asked for?
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// What `future` gives, or `None` if a stop is asked for before.
    pub(crate) async fn unless_asked<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.asked() => None,
            result = future => Some(result),
        }
    }

    /// Waits until it is.
    pub(crate) async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            // The listener is gone only when the process is ending.
            std::future::pending::<()>().await;
        }
    }
}
