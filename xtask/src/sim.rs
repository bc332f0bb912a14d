//! `cargo xtask sim`: seeds of the simulator, with optimization and on all cores.

use std::process::Command;

use crate::process;

/// Seeds of each workload in the test command: at the level of the drivers as many as take about two minutes of one core.
const DRIVERS: &str = "2000";

/// Builds the simulator and runs it with these options; `SEED` in the environment replays one.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let status = command(options)?.status().map_err(|error| format!("the simulator could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err("seeds failed; what they need and how to replay them is above".to_owned()) }
}

/// What the test command runs, and what it shows of it at its end.
pub(crate) fn all() -> Result<(bool, String), String> {
    let output = command(&["--seeds", DRIVERS])?.env_remove("SEED").output();
    let output = output.map_err(|error| format!("the simulator could not be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success(), format!("the simulator\n{text}")))
}

fn command(options: &[&str]) -> Result<Command, String> {
    process::run(&mut process::cargo(&["build", "--quiet", "--profile", "sim", "--package", "klamm-sim", "--bin", "sim"]))?;
    let mut command = Command::new(process::target().join("sim").join("sim"));
    command.args(options).current_dir(process::root());
    Ok(command)
}
