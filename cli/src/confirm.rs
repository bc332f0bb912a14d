//! Asking before something is destroyed: on a terminal; elsewhere `--yes` is needed.

use std::io::IsTerminal as _;

use crate::exit::{Done, Failure};

/// Goes on if the person at the terminal says so. `question` is what would be done, `why` what that destroys.
pub(crate) async fn confirm(question: &str, why: &str) -> Done {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{why}: give --yes where nobody can be asked")));
    }
    eprint!("{question}? [y/N] ");
    // On a thread of its own, so that a signal is heard while the answer is awaited.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Failure::refused(format!("the answer can't be read: {error}; nothing was deleted"))),
        Err(error) => return Err(Failure::refused(format!("the answer can't be read: {error}; nothing was deleted"))),
    };
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::refused("nothing was deleted")) }
}
