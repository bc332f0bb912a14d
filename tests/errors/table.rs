//! `docs/errors.md` is made from the code: from what [`ErrorKind`] says of each kind, and from the errors that `kinds` provokes.

use std::fmt::Write as _;
use std::path::PathBuf;

use klamm::ErrorKind;

use crate::kinds::provoked;

/// Set, it has the test write the file.
const REWRITE: &str = "KLAMM_REWRITE_DOCS";

const HEAD: &str = "\
Every error says of what kind it is (`Error::kind`), and has the rest as fields: a broker's code, the API, broker, topic, partition, offset,
group and principal concerned, how often and how long it was tried, whether the record may be in the log all the same. *Again* is whether
the same call may succeed when it is made again (`is_retriable`), *anew* whether the producer or consumer has to be built anew (`is_fatal`);
\"depends\" is for kinds whose errors say so one by one.

";

/// The text that the file shows for a kind.
pub(crate) fn example(kind: ErrorKind) -> String {
    let file = std::fs::read_to_string(path()).unwrap();
    let section = file.split("\n**`").find_map(|section| section.strip_prefix(&format!("{kind:?}`**")));
    let text = section.and_then(|section| section.split("```text\n").nth(1)?.split("\n```").next());
    text.unwrap_or_else(|| panic!("docs/errors.md has no example of {kind:?}; {}", how())).to_owned()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")
}

pub(crate) fn how() -> String {
    format!("{REWRITE}=1 cargo test --test errors docs_errors_md  writes it anew")
}

fn said(answer: Option<bool>) -> &'static str {
    match answer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "depends",
    }
}

async fn table() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("| kind | what it means | again? | anew? | what to do |\n|---|---|---|---|---|\n");
    for kind in ErrorKind::ALL {
        let (again, anew) = (said(kind.retriable()), said(kind.fatal()));
        let _ = writeln!(text, "| `{}` | {} | {again} | {anew} | {} |", kind.name(), kind.meaning(), kind.advice());
    }
    text.push_str("\nOne of each, as it is shown:\n");
    for kind in ErrorKind::ALL {
        let (what, error) = provoked(*kind).await;
        let _ = write!(text, "\n**`{}`** {what}\n\n```text\n{error}\n```\n", kind.name());
    }
    text
}

#[tokio::test(start_paused = true)]
async fn docs_errors_md_is_what_the_code_says() {
    let made = table().await;
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(path(), &made).unwrap();
    }
    let there = std::fs::read_to_string(path()).unwrap();
    let differs = made.lines().zip(there.lines()).find(|(made, there)| made != there);
    assert!(made == there, "docs/errors.md is not what the code says, first at {differs:#?}; {}", how());
}

#[test]
fn no_kind_is_left_out_of_the_table() {
    for kind in ErrorKind::ALL {
        assert!(!example(*kind).is_empty(), "{kind:?}");
    }
}
