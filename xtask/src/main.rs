//! The project's commands, `cargo xtask …`: running the tests with the brokers they need, and brokers for work by hand.
//!
//! Everything here runs other programs (cargo, Maven, Java, Docker) and says which one failed and what to do about it.
#![forbid(unsafe_code)]

mod bench;
mod compatibility;
mod count;
mod fuzz;
mod kafka;
mod msrv;
mod peers;
mod planted;
mod prerequisites;
mod process;
mod real;
mod shown;
mod sim;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--no-real | --real-only] [-- FILTER…]
                              runs all tests; starts the brokers that the tests in real/ need, and stops them
  test protocol               runs the codec's tests and prints how much of it was compared with Kafka's own; no broker
  kafka up [--nodes 1|3] [--version V] | --secure
                              starts Apache Kafka for work by hand and prints its addresses; with TLS, SASL and users
  kafka down                  stops what `kafka up` started
  sim [--seeds N] [--from S] [--workload W] [--level L] [--coverage] [--events]
                              runs seeds of the simulator on all cores; W is produce, group, copy or transactions, all of them unless given;
                              SEED=n in the environment replays one
  bench                       counts the instructions of the message codec, beside kafka-protocol's (needs valgrind)
  fuzz [TARGET…] [--seconds N] [--sanitizer]
                              builds the fuzz targets and runs them, two at a time, each for so long (60 s)
  fuzz keep TARGET FILE…      adds inputs that failed to those that the tests try again
  fuzz pack [TARGET…]         keeps the smallest inputs of fuzz/corpus that add something to the seeds
  fuzz record                 makes the seeds anew, of what Java's tools and Kafka say to each other
  planted NAME… | --pick N | --all
                              puts bugs of tests/planted into a copy, one at a time; fails unless the tests find them
  msrv                        compares every dependency's rust-version with ours
  compatibility [--check]     writes (or compares) the table of acceptance checks in COMPATIBILITY.md
  compatibility --shown       writes the tables of versions and clients there, as the last `cargo xtask test` has shown them";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test", rest @ ..] => test::run(rest),
        ["kafka", "up", rest @ ..] => kafka::by_hand::up(rest),
        ["kafka", "down"] => kafka::by_hand::down(),
        ["sim", rest @ ..] => sim::run(rest),
        ["bench"] => bench::messages(),
        ["fuzz", rest @ ..] => fuzz::command(rest),
        ["planted", rest @ ..] => planted::command(rest),
        ["msrv"] => msrv::compare(),
        ["compatibility"] => compatibility::write(),
        ["compatibility", "--check"] => compatibility::check(),
        ["compatibility", "--shown"] => shown::write(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
