//! What became of each of several things: a line for each, and exit code 1 if one failed.

use klamm::{Error, ErrorKind};
use serde_json::{Map, Value};

use crate::exit::{Done, Failure};
use crate::options::Options;

/// One thing and its result.
pub(crate) struct Item {
    /// What it is, as the first keys of its JSON object.
    key: Map<String, Value>,
    result: klamm::Result<()>,
}

impl Item {
    /// With the first keys of its JSON object, in order.
    pub(crate) fn new<const N: usize>(key: [(&str, Value); N], result: klamm::Result<()>) -> Self {
        Self { key: key.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(), result }
    }

    /// What it is, for people.
    fn name(&self) -> String {
        self.key.values().map(crate::output::cell).collect::<Vec<_>>().join(" ")
    }
}

/// Shows them.
pub(crate) fn report(options: &Options, items: Vec<Item>) -> Done {
    let mut output = options.output();
    let (mut failed, mut unsupported, all) = (0, 0, items.len());
    for item in items {
        let name = item.name();
        let Item { mut key, result } = item;
        match result {
            Ok(()) if output.is_json() => {
                key.insert("ok".to_owned(), true.into());
                output.line(&Value::Object(key))?;
            }
            Ok(()) => output.line(&format_args!("{name}: done"))?,
            Err(error) => {
                failed += 1;
                unsupported += usize::from(error.kind() == ErrorKind::UnsupportedVersion);
                if output.is_json() {
                    key.insert("error".to_owned(), code_name(&error).into());
                    key.insert("message".to_owned(), error.to_string().into());
                    output.line(&Value::Object(key))?;
                } else {
                    eprintln!("klamm: {error}");
                }
            }
        }
    }
    output.flush()?;
    match failed {
        0 => Ok(()),
        _ => Err(Failure::of_several(failed, unsupported, format!("{failed} of {all} failed"))),
    }
}

/// Kafka's name of the code, or the kind of error where no broker spoke.
fn code_name(error: &Error) -> String {
    let name = error.code().and_then(|code| code.name());
    name.map_or_else(|| format!("{:?}", error.kind()), str::to_owned)
}
