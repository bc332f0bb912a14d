//! `klamm codec`: messages from JSON to bytes and back, no broker needed.
//!
//! The JSON is written and read by the reflection; the bytes go through the message's own decoder and encoder, too, and both must say
//! the same: whoever compares klamm's JSON with another program's compares its codec.

use std::io::{BufRead as _, BufReader, Read as _};

use bytes::Bytes;
use clap::{Subcommand, ValueEnum};
use klamm::protocol::json::{RecordsForm, from_json, to_json};
use klamm::protocol::{DECLARATIONS, Declaration};
use serde_json::{Map, Value};

use crate::exit::{Done, Failure};
use crate::options::Options;
use crate::output::Output;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// JSON on standard input, the body in hex on standard output
    Encode {
        #[command(flatten)]
        message: Message,
    },
    /// The body in hex on standard input, JSON on standard output
    Decode {
        #[command(flatten)]
        message: Message,
        /// What is shown of records: how many bytes they are, or the bytes themselves
        #[arg(long, value_enum, default_value_t = Records::Size)]
        records: Records,
    },
    /// Many, a JSON object a line: {"name","version","json"} becomes {"name","version","hex"}, and the other way round
    Lines {
        /// What is shown of records: how many bytes they are, or the bytes themselves
        #[arg(long, value_enum, default_value_t = Records::Size)]
        records: Records,
    },
}

#[derive(clap::Args, Debug)]
struct Message {
    /// As in Kafka's schema files: MetadataRequest, FetchResponse, ConsumerProtocolAssignment
    name: String,
    /// The message's version
    version: i16,
}

/// What becomes of records in JSON.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Records {
    /// recordsSizeInBytes, as Kafka's own converters write it
    Size,
    /// Base64, which can be encoded again
    Base64,
}

impl From<Records> for RecordsForm {
    fn from(records: Records) -> Self {
        match records {
            Records::Size => Self::Size,
            Records::Base64 => Self::Base64,
        }
    }
}

/// Encodes, decodes, or does both with many.
pub(crate) async fn run(options: &Options, arguments: Arguments) -> Done {
    let output = options.output();
    // Reading standard input holds its thread, and signals must be heard all the same.
    let done = tokio::task::spawn_blocking(move || at_once(output, arguments.verb)).await;
    done.unwrap_or_else(|error| Err(Failure::refused(format!("codec ended: {error}"))))
}

fn at_once(mut output: Output, verb: Verb) -> Done {
    match verb {
        Verb::Encode { message } => {
            let declared = message.declared()?;
            let json = parse(&read_input()?).map_err(Failure::refused)?;
            output.line(&hex(&encode(declared, message.version, &json).map_err(Failure::refused)?))?;
        }
        Verb::Decode { message, records } => {
            let declared = message.declared()?;
            let bytes = unhex(&read_input()?).map_err(Failure::refused)?;
            output.line(&decode(declared, message.version, &bytes.into(), records.into()).map_err(Failure::refused)?)?;
        }
        Verb::Lines { records } => return lines(output, records.into()),
    }
    output.flush()
}

fn read_input() -> Done<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::refused(format!("standard input cannot be read: {error}")))?;
    Ok(text)
}

/// JSON, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Err("no JSON on standard input; where a message has no fields it is {}".to_owned());
    }
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

impl Message {
    /// The message meant; wrong usage if there is none such, or not in that version.
    fn declared(&self) -> Done<&'static Declaration> {
        let declared = named(&self.name).map_err(Failure::usage)?;
        if declared.each_version().contains(&self.version) {
            return Ok(declared);
        }
        let (first, last) = declared.versions;
        Err(Failure::usage(format!("{} has no version {}; it has {first} to {last}", declared.name, self.version)))
    }
}

/// The message of this name, or what may have been meant.
fn named(name: &str) -> Result<&'static Declaration, String> {
    Declaration::named(name).ok_or_else(|| {
        let near = nearest(name, DECLARATIONS.iter().map(|declared| declared.name));
        format!("there is no message {name:?}{near}; `klamm schema` shows them all")
    })
}

/// `; did you mean …?`, or nothing if no name is like it.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> String {
    let lower = name.to_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&lower, &known.to_lowercase());
    let near = known.map(|known| (likeness(known), known)).filter(|(likeness, _)| *likeness > 0.85);
    match near.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
        Some((_, known)) => format!("; did you mean {known}?"),
        None => String::new(),
    }
}

/// The bytes by the reflection, which the message's own codec must write, too.
fn encode(declared: &Declaration, version: i16, json: &Value) -> Result<Vec<u8>, String> {
    let bytes = from_json(declared, version, json).map_err(|error| error.to_string())?;
    let recoded = recode(declared, version, &Bytes::from(bytes.clone()))?;
    if recoded == bytes { Ok(bytes) } else { Err(disagreement(declared, version, &bytes, &recoded)) }
}

/// The JSON by the reflection, of the bytes and of what the message's own codec makes of them, which must be the same.
fn decode(declared: &Declaration, version: i16, body: &Bytes, records: RecordsForm) -> Result<Value, String> {
    let json = to_json(declared, version, body, RecordsForm::Base64).map_err(|error| error.to_string())?;
    let recoded = Bytes::from(recode(declared, version, body)?);
    let again = to_json(declared, version, &recoded, RecordsForm::Base64).map_err(|error| error.to_string())?;
    if again != json {
        return Err(disagreement(declared, version, body, &recoded));
    }
    match records {
        RecordsForm::Base64 => Ok(json),
        RecordsForm::Size => to_json(declared, version, body, records).map_err(|error| error.to_string()),
    }
}

fn recode(declared: &Declaration, version: i16, body: &Bytes) -> Result<Vec<u8>, String> {
    match (declared.recode)(body, version) {
        Ok(recoded) => Ok(recoded.buffers.concat()),
        Err(error) => Err(format!("{} version {version}: {error}", declared.name)),
    }
}

fn disagreement(declared: &Declaration, version: i16, walked: &[u8], coded: &[u8]) -> String {
    format!(
        "{} version {version}: the codec makes {} of {}; this is a bug of klamm, please report it",
        declared.name,
        hex(coded),
        hex(walked)
    )
}

/// Until standard input ends. A line that cannot be done says so in its place; the command goes on.
fn lines(mut output: Output, records: RecordsForm) -> Done {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut line = String::new();
    loop {
        line.clear();
        let read = input.read_line(&mut line);
        if read.map_err(|error| Failure::refused(format!("standard input cannot be read: {error}")))? == 0 {
            return output.flush();
        }
        if !line.trim().is_empty() {
            output.line(&answer(&line, records))?;
        }
        // Whoever waits for this answer before asking on must get it.
        if !input.buffer().contains(&b'\n') {
            output.flush()?;
        }
    }
}

/// The line with its other half in place of the one it has.
fn answer(line: &str, records: RecordsForm) -> Value {
    let given: Map<String, Value> = match serde_json::from_str(line) {
        Ok(given) => given,
        Err(error) => return serde_json::json!({ "error": format!("not a JSON object: {error}") }),
    };
    let (half, result) = match (given.get("json"), given.get("hex")) {
        (Some(json), None) => ("json", message_of(&given).and_then(|(declared, version)| encode_line(declared, version, json))),
        (None, Some(hex)) => {
            ("hex", message_of(&given).and_then(|(declared, version)| decode_line(declared, version, hex, records)))
        }
        _ => ("", Err("one of \"json\" and \"hex\" is needed".to_owned())),
    };
    let (name, value) = result.unwrap_or_else(|error| ("error", error.into()));
    let mut answer = Map::new();
    for (key, given) in given {
        if key == half {
            answer.insert(name.to_owned(), value.clone());
        } else {
            answer.insert(key, given);
        }
    }
    answer.entry(name).or_insert(value);
    answer.into()
}

fn message_of(given: &Map<String, Value>) -> Result<(&'static Declaration, i16), String> {
    let name = given.get("name").and_then(Value::as_str).ok_or("\"name\" must be a message's name")?;
    let version = given.get("version").and_then(Value::as_i64).and_then(|version| i16::try_from(version).ok());
    Ok((named(name)?, version.ok_or("\"version\" must be a message's version")?))
}

fn encode_line(declared: &Declaration, version: i16, json: &Value) -> Result<(&'static str, Value), String> {
    Ok(("hex", hex(&encode(declared, version, json)?).into()))
}

fn decode_line(declared: &Declaration, version: i16, hex: &Value, records: RecordsForm) -> Result<(&'static str, Value), String> {
    let bytes = unhex(hex.as_str().ok_or("\"hex\" must be text")?)?;
    Ok(("json", decode(declared, version, &bytes.into(), records)?))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Digits by twos, large or small, with any space between.
fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = Vec::new();
    for (at, letter) in text.char_indices().filter(|(_, letter)| !letter.is_whitespace()) {
        let digit = letter.to_digit(16).ok_or_else(|| format!("not hex: {letter:?}, byte {at} of the input"))?;
        // Below 16.
        digits.push(digit as u8);
    }
    if digits.len() % 2 == 1 {
        return Err(format!("not hex: {} digits are not whole bytes", digits.len()));
    }
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_comes_back_and_what_is_none_is_told() {
        assert_eq!(hex(&[0, 0x7f, 0xff]), "007fff");
        assert_eq!(unhex(" 00 7F\nff\t").unwrap(), [0, 0x7f, 0xff]);
        assert_eq!(unhex("").unwrap(), [0; 0]);
        assert!(unhex("0").unwrap_err().contains("1 digits"));
        assert!(unhex("0é").unwrap_err().contains("'é', byte 1"));
    }

    #[test]
    fn the_nearest_name_is_offered_if_it_is_near() {
        let names = || ["MetadataRequest", "MetadataResponse", "FetchRequest"].into_iter();
        assert_eq!(nearest("metadatarequest", names()), "; did you mean MetadataRequest?");
        assert_eq!(nearest("MetadataReponse", names()), "; did you mean MetadataResponse?");
        assert_eq!(nearest("zzz", names()), "");
    }
}
