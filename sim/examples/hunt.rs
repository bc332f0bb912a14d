use klamm_sim::cores::Cores;
use klamm_sim::run::{Case, report, run};
use klamm_sim::workload::Kind;
use std::collections::BTreeMap;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let kind = Kind::named(&args[1]).unwrap();
    let from: u64 = args[2].parse().unwrap();
    let count: u64 = args[3].parse().unwrap();
    let calm = args.get(4).is_some_and(|a| a.starts_with("calm"));
    let full = args.get(4).is_some_and(|a| a.ends_with("report"));
    let start = std::time::Instant::now();
    let (mut ops, mut virt, mut failed) = (0u64, 0f64, 0);
    let mut by: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut coverage = klamm_sim::coverage::Coverage::default();
    std::panic::set_hook(Box::new(|_| {}));
    for seed in from..from + count {
        let mut case = Case::draw(kind, seed);
        if calm {
            case.troubles.clear();
        }
        let t = std::time::Instant::now();
        let outcome = run(&Cores, &case);
        if t.elapsed().as_secs_f64() > 2.0 {
            println!("slow seed {seed}: {:?}", t.elapsed());
        }
        if let Some(run) = &outcome.run {
            ops += run.history.operations();
            virt += run.history.ended.as_secs_f64();
            coverage.add(&run.coverage);
        }
        if let Err(v) = &outcome.verdict {
            failed += 1;
            by.entry(v.oracle).or_default().push(seed);
            if full {
                println!("{}", report(&Cores, &case, v));
            } else if failed <= 25 {
                println!("seed {seed}: {v}");
            }
        }
    }
    let s = start.elapsed().as_secs_f64();
    println!("{count} seeds, {failed} failed, {ops} ops, {virt:.0} virtual s, {s:.2} s, {:.0} ops/s", ops as f64 / s);
    for (o, seeds) in by {
        println!("{o}: {} {:?}", seeds.len(), &seeds[..seeds.len().min(20)]);
    }
    if args.get(5).is_some() {
        println!("{}", coverage.table());
    }
}
