//! Kafka's own generated message classes as an oracle: frames go into one JVM, what it reads and writes comes back.
//!
//! `Codec.java` is the other end of the pipe. It runs from its source, with the jars of `schemas` on its class path.
#![allow(dead_code, reason = "each test crate uses its own part")]

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use bytes::Bytes;

use crate::schemas;

const SOURCE: &str = include_str!("Codec.java");
/// Questions under way: enough to keep both sides busy.
const WINDOW: usize = 256;

/// A frame for Kafka to read.
#[derive(Debug)]
pub(crate) struct Question<C> {
    /// The message's name in the schemas.
    pub(crate) name: &'static str,
    pub(crate) version: i16,
    pub(crate) frame: Bytes,
    /// What klamm wrote after it read the frame; `None` where it refused.
    pub(crate) klamm: Option<Bytes>,
    /// Kafka keeps tagged fields that it does not know, klamm drops them: drop them there, too, before anything is compared.
    pub(crate) drop_unknown_tags: bool,
    /// What the one who asks wants back with the answer.
    pub(crate) context: C,
}

/// What Kafka made of it.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It does not read the frame.
    Refused(String),
    /// It read the frame, but not what klamm wrote.
    RefusedKlamm(String),
    /// It read both.
    Read(Value),
}

/// A frame's value in Kafka.
#[derive(Debug)]
pub(crate) struct Value {
    /// Bytes behind it that were not read.
    pub(crate) left: usize,
    /// Bytes that its size was foretold to be.
    pub(crate) size: usize,
    /// How Kafka writes it.
    pub(crate) bytes: Vec<u8>,
    /// What klamm wrote and Kafka read equals it, by Java's `equals`.
    pub(crate) klamm_equal: bool,
    /// What Kafka wrote and read again does.
    pub(crate) kafka_equal: bool,
    /// The same by `toString`, which takes a NaN for a NaN.
    pub(crate) klamm_same_text: bool,
    pub(crate) kafka_same_text: bool,
}

/// The asking end.
pub(crate) struct Pen<C> {
    pipe: BufWriter<ChildStdin>,
    asked: SyncSender<Question<C>>,
}

impl<C> Pen<C> {
    /// Asks; false once nobody reads any more, which has its own error at the other end.
    pub(crate) fn ask(&mut self, question: Question<C>) -> bool {
        if self.write(&question).is_err() {
            return false;
        }
        match self.asked.try_send(question) {
            Ok(()) => true,
            // The other side waits for answers to what may still be in the buffer here.
            Err(TrySendError::Full(question)) => self.pipe.flush().is_ok() && self.asked.send(question).is_ok(),
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    fn write(&mut self, question: &Question<C>) -> io::Result<()> {
        let name = question.name.as_bytes();
        self.pipe.write_all(&(name.len() as u16).to_be_bytes())?;
        self.pipe.write_all(name)?;
        self.pipe.write_all(&question.version.to_be_bytes())?;
        self.pipe.write_all(&[u8::from(question.drop_unknown_tags)])?;
        self.pipe.write_all(&(question.frame.len() as i32).to_be_bytes())?;
        self.pipe.write_all(&question.frame)?;
        self.pipe.write_all(&question.klamm.as_ref().map_or(-1, |bytes| bytes.len() as i32).to_be_bytes())?;
        self.pipe.write_all(question.klamm.as_deref().unwrap_or_default())
    }
}

/// Puts the questions that `make` writes to one JVM and hands each with its answer to `check`, in order.
pub(crate) fn ask<C: Send>(make: impl FnOnce(&mut Pen<C>) + Send, mut check: impl FnMut(Question<C>, Answer)) {
    let mut jvm = Jvm(schemas::start_java("Codec", SOURCE));
    let pipe = BufWriter::with_capacity(1 << 16, jvm.0.stdin.take().expect("piped"));
    let answers = BufReader::with_capacity(1 << 16, jvm.0.stdout.take().expect("piped"));
    let (asked, questions) = sync_channel(WINDOW);
    std::thread::scope(|scope| {
        // Moved in here, so that a failed check lets the other side go.
        let (questions, mut answers) = (questions, answers);
        scope.spawn(move || {
            let mut pen = Pen { pipe, asked };
            make(&mut pen);
            // A pipe that broke is told of by the reading side.
            let _ = pen.pipe.flush();
        });
        for question in questions {
            let answer = answer(&mut answers).unwrap_or_else(|error| {
                panic!("{} version {}: no answer from the JVM: {error}", question.name, question.version)
            });
            check(question, answer);
        }
    });
    let status = jvm.0.wait().expect("the JVM ends");
    assert!(status.success(), "the JVM ended with {status}");
}

/// The process, ended with the test.
struct Jvm(Child);

impl Drop for Jvm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn answer(from: &mut impl Read) -> io::Result<Answer> {
    let [kind] = array(from)?;
    Ok(match kind {
        0 | 1 => {
            let len = u16::from_be_bytes(array(from)?);
            let text = String::from_utf8_lossy(&bytes(from, usize::from(len))?).into_owned();
            if kind == 0 { Answer::Refused(text) } else { Answer::RefusedKlamm(text) }
        }
        _ => {
            let [left, size, len] = [number(from)?, number(from)?, number(from)?];
            let bytes = bytes(from, len)?;
            let [equal] = array(from)?;
            let is = |bit: u8| equal & bit != 0;
            let [klamm_equal, kafka_equal, klamm_same_text, kafka_same_text] = [is(1), is(2), is(4), is(8)];
            Answer::Read(Value { left, size, bytes, klamm_equal, kafka_equal, klamm_same_text, kafka_same_text })
        }
    })
}

fn number(from: &mut impl Read) -> io::Result<usize> {
    Ok(u32::from_be_bytes(array(from)?) as usize)
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bytes(from: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
