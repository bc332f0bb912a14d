//! Traces from their text.

use std::path::Path;
use std::time::Duration;

use klamm::protocol::{DECLARATIONS, Declaration, Kind};
use serde_json::Value as Json;

use crate::trace::play::Ranges;

/// Requests in order.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The file's name.
    pub name: String,
    /// What is done.
    pub steps: Vec<Step>,
}

/// One thing that is done, or one request.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name within the trace.
    pub name: String,
    /// The connection's name.
    pub connection: String,
    /// What it is.
    pub what: What,
}

/// What a step is.
#[derive(Clone, Debug)]
pub enum What {
    /// A request of an API.
    Request(Box<Asked>),
    /// The answer to what was sent before with `nowait`.
    Await,
    /// Nothing for so long.
    Sleep(Duration),
    /// The connection is closed by us.
    Close,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A request of an API.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the flags of the module's table")]
pub struct Asked {
    pub request: &'static Declaration,
    pub response: &'static Declaration,
    /// The versions it may be sent in, of those that there are.
    pub versions: (i16, i16),
    pub body: Json,
    /// Names and JSON pointers.
    pub kept: Vec<(String, String)>,
    pub settle: bool,
    pub wait: bool,
    pub has_answer: bool,
    pub own: bool,
    pub client: Option<String>,
    pub header_version: Option<i16>,
    pub cut: usize,
    pub extra: Vec<u8>,
}

impl Trace {
    /// Every trace of a folder, by name.
    ///
    /// # Panics
    /// On a file that is not a trace, saying where.
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "trace"));
        files.sort();
        files.iter().map(|path| Self::load(path)).collect()
    }

    fn load(path: &Path) -> Self {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name of ASCII").to_owned();
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&name, &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A trace from its text.
    ///
    /// # Errors
    /// Names the line at fault.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut entries: Vec<(usize, String)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let is_more = line.starts_with([' ', '\t']);
            match entries.last_mut() {
                _ if line.trim().is_empty() || line.starts_with('#') => {}
                Some((_, entry)) if is_more => {
                    entry.push(' ');
                    entry.push_str(line.trim());
                }
                _ => entries.push((number, line.trim().to_owned())),
            }
        }
        let mut steps: Vec<Step> = Vec::new();
        for (number, entry) in entries {
            let step = step(&entry).map_err(|error| format!("line {number}: {error}"))?;
            let is_request = matches!(step.what, What::Request(_) | What::Bytes(_) | What::Await);
            if is_request && steps.iter().any(|other| other.name == step.name) {
                return Err(format!("line {number}: there is a step {:?} already", step.name));
            }
            steps.push(step);
        }
        Ok(Self { name: name.to_owned(), steps })
    }

    /// How often it has to be played, so that each version of each of its requests is.
    pub fn rounds(&self, ranges: &Ranges) -> usize {
        let requests = self.steps.iter().filter_map(|step| match &step.what {
            What::Request(asked) => Some(asked.range(ranges)),
            _ => None,
        });
        requests.map(|(first, last)| usize::try_from(last - first + 1).unwrap_or(1)).max().unwrap_or(1)
    }
}

impl Asked {
    /// The versions it is played in: those that both sides and the step know.
    pub(crate) fn range(&self, ranges: &Ranges) -> (i16, i16) {
        let name = self.request.name;
        let (first, last) = *ranges.get(&self.request.api_key).unwrap_or_else(|| panic!("{name} is not served by both sides"));
        // Brokers say 0 for Produce, but mean 3: what librdkafka expects (KAFKA-18659).
        let first = first.max(self.request.versions.0).max(self.versions.0);
        let last = last.min(self.versions.1);
        assert!(first <= last, "{name}: there is no version that both sides and the trace know");
        (first, last)
    }

    /// Its version in one of `rounds`.
    pub(crate) fn version(&self, ranges: &Ranges, round: usize, rounds: usize) -> i16 {
        let (first, last) = self.range(ranges);
        let steps = usize::try_from(last - first).unwrap_or(0);
        let at = if rounds > 1 { (round * steps + (rounds - 1) / 2) / (rounds - 1) } else { steps };
        first + i16::try_from(at).unwrap_or(0)
    }

    /// A request with this body and no flag.
    pub(crate) fn new(api: &str, body: Json) -> Result<Self, String> {
        let (request, response) = messages(api)?;
        Ok(Self {
            request,
            response,
            versions: (0, i16::MAX),
            body,
            kept: Vec::new(),
            settle: false,
            wait: true,
            has_answer: true,
            own: false,
            client: Some("trace".to_owned()),
            header_version: None,
            cut: 0,
            extra: Vec::new(),
        })
    }
}

fn messages(api: &str) -> Result<(&'static Declaration, &'static Declaration), String> {
    let no_such = || format!("there is no API {api:?}");
    let request = Declaration::named(&format!("{api}Request")).ok_or_else(no_such)?;
    let is_its = |declared: &&Declaration| declared.kind == Kind::Response && declared.api_key == request.api_key;
    Ok((request, DECLARATIONS.iter().find(is_its).ok_or_else(no_such)?))
}

fn step(entry: &str) -> Result<Step, String> {
    let (head, body) = match entry.find('{') {
        Some(at) => entry.split_at(at),
        None => (entry, ""),
    };
    let mut words = head.split_whitespace();
    let mut word = || words.next().ok_or("the line ends too early");
    let first = word()?;
    let (connection, first) = match first.strip_prefix('@') {
        Some(name) => (name.to_owned(), word()?),
        None => ("main".to_owned(), first),
    };
    let named = |name: &str, what| Ok(Step { name: name.to_owned(), connection: connection.clone(), what });
    match first {
        "await" => return named(word()?, What::Await),
        "sleep" => {
            return named("", What::Sleep(Duration::from_millis(word()?.parse().map_err(|_| "sleep takes milliseconds")?)));
        }
        "close" => return named("", What::Close),
        "frame" | "bytes" => {
            let name = word()?;
            let bytes = unhex(&words.collect::<String>())?;
            let length = u32::try_from(bytes.len()).map_err(|_| "too long")?.to_be_bytes();
            let bytes = if first == "frame" { [&length[..], &bytes].concat() } else { bytes };
            return named(name, What::Bytes(bytes));
        }
        _ => {}
    }
    let (api, versions) = first.split_once('@').unwrap_or((first, ""));
    let body: Json = if body.is_empty() {
        Json::Object(Default::default())
    } else {
        serde_json::from_str(body).map_err(|error| error.to_string())?
    };
    let mut asked = Asked::new(api, body)?;
    if !versions.is_empty() {
        let number = |text: &str, open: i16| {
            if text.is_empty() { Ok(open) } else { text.parse().map_err(|_| format!("{text:?} is no version")) }
        };
        let (first, last) = versions.split_once('-').unwrap_or((versions, versions));
        asked.versions = (number(first, 0)?, number(last, i16::MAX)?);
    }
    let name = word()?;
    for flag in words {
        match flag.split_once('=') {
            None => match flag {
                "settle" => asked.settle = true,
                "nowait" => asked.wait = false,
                "noanswer" => asked.has_answer = false,
                "own" => asked.own = true,
                other => return Err(format!("there is no flag {other:?}")),
            },
            Some((name, path)) if path.starts_with('/') => asked.kept.push((name.to_owned(), path.to_owned())),
            Some(("client", client)) => asked.client = (client != "null").then(|| client.to_owned()),
            Some(("as", version)) => {
                asked.header_version = Some(version.parse().map_err(|_| format!("{version:?} is no version"))?)
            }
            Some(("cut", bytes)) => asked.cut = bytes.parse().map_err(|_| format!("{bytes:?} is no number"))?,
            Some(("extra", hex)) => asked.extra = unhex(hex)?,
            Some(other) => return Err(format!("there is no flag {other:?}")),
        }
    }
    named(name, What::Request(Box::new(asked)))
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| Some(u8::try_from(c.to_digit(16)?).unwrap_or(0))).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or_else(|| format!("{text:?} is not hex"))?;
    Ok(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}
