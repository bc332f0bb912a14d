//! Runs seeds on all cores and prints what came of them: see `cargo xtask sim`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use klamm_sim::campaign::{Count, Options, one};
use klamm_sim::run::{self, Case};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::read(&arguments, std::env::var("SEED").ok().as_deref()) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("sim: {message}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let next = AtomicU64::new(0);
    let jobs: Vec<_> = options.jobs().collect();
    let (count, failures) = (Mutex::new(Count::default()), Mutex::new(BTreeMap::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // What each worker is at, and since when: a run that never ends is a finding, too.
    let at: Vec<Mutex<Option<(String, Instant)>>> = (0..workers).map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for at in &at {
            _ = scope.spawn(|| {
                while let Some((level, kind, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let name = format!("seed {seed}, workload {}, level {}", kind.name(), level.name());
                    set(at, Some((name, Instant::now())));
                    let case = Case::draw(*kind, *seed);
                    let outcome = one(*level, &case, options.events);
                    print!("{}", outcome.events);
                    if let Ok(mut count) = count.lock() {
                        count.add(&outcome.count);
                    }
                    if let Err(violation) = outcome.verdict {
                        let report = run::report(*level, &case, &violation);
                        println!("{report}");
                        if let Ok(mut failures) = failures.lock() {
                            _ = failures.insert((level.name(), *kind, *seed), violation.to_string());
                        }
                    }
                    set(at, None);
                }
            });
        }
        _ = scope.spawn(|| {
            while (next.load(Ordering::Relaxed) as usize) < jobs.len() + workers {
                std::thread::sleep(Duration::from_millis(200));
                for worker in &at {
                    let slow = worker.lock().ok().and_then(|at| at.clone());
                    if let Some((name, since)) = slow.filter(|(_, since)| since.elapsed() > options.patience) {
                        println!("{name}: has not ended after {:?}: it spins, or waits for what is not virtual", since.elapsed());
                        std::process::exit(1);
                    }
                }
            }
        });
    });
    let Ok(count) = count.into_inner() else { return ExitCode::FAILURE };
    println!("{}", count.report(start.elapsed(), workers, options.coverage));
    let failures = failures.into_inner().unwrap_or_default();
    for ((level, kind, seed), violation) in &failures {
        println!("FAILED {level} {} seed {seed}: {violation}", kind.name());
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn set<T>(place: &Mutex<T>, value: T) {
    if let Ok(mut place) = place.lock() {
        *place = value;
    }
}
