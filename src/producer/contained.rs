//! Calls of the user's own code: a panic in it is a failure of that call, and of nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `code`; a panic in it becomes what it said.
pub(super) fn contained<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        text.unwrap_or("no message").to_owned()
    })
}
