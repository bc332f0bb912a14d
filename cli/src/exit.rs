//! How a command ends: the exit codes of the contract, each with a message for people.

use std::fmt;
use std::process::ExitCode;

use klamm::{Error, ErrorKind};

/// What a failed command reports.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

/// The result of a command.
pub(crate) type Done<T = ()> = Result<T, Failure>;

impl Failure {
    /// 1: the cluster or some record refused.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// 2: wrong usage.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// 2: what a later release brings.
    pub(crate) fn not_built_yet(what: &str) -> Self {
        Self::usage(format!("{what}: not built yet"))
    }

    /// 3: the broker does not have it.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self { code: 3, message: message.into() }
    }

    /// Of several things, `failed` ones were refused: 3 if the broker has none of them, else 1.
    pub(crate) fn of_several(failed: usize, unsupported: usize, message: String) -> Self {
        if failed == unsupported { Self::unsupported(message) } else { Self::refused(message) }
    }

    /// 124: `--timeout` ran out.
    pub(crate) fn timed_out(what: &str, seconds: f64) -> Self {
        Self {
            code: 124,
            message: format!(
                "{what} took longer than --timeout {seconds} s; is the cluster reachable? A longer time: --timeout SECONDS"
            ),
        }
    }

    /// 1, when everything was said already.
    pub(crate) fn told() -> Self {
        Self::refused("")
    }

    /// Is there nothing left to say?
    pub(crate) fn is_told(&self) -> bool {
        self.message.is_empty()
    }

    /// Is it the closed pipe of a reader that has seen enough? Then nothing is said and the command has not failed.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.code == 0
    }

    /// As the process's exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidConfig => 2,
            ErrorKind::UnsupportedVersion => 3,
            _ => 1,
        };
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        // klamm's own errors have said in their message what those below them said.
        while let Some(cause) = source.filter(|cause| !cause.is::<Error>()) {
            let text = cause.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self { code, message }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { code: 0, message: String::new() };
        }
        Self::refused(format!("output could not be written: {error}"))
    }
}
